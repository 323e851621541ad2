"""The gateway's settings: environment variables `SUIFANG_GATEWAY_*`, built once, in `__main__` or the command line."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.errors import BadSetting

PREFIX: Final = "SUIFANG_GATEWAY_"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,48}$")]
Seconds = Annotated[float, Field(gt=0, le=86400)]


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, with brackets around an IPv6 address. BadSetting."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadSetting(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


class Settings(BaseSettings):
    """site, source: of the topics; `source` is also the broker's user name and the MQTT client id.

    receipts_qos: of the subscription to receipts; 0 for a broker that sends them at 0 whatever is asked for (NATS).
    zone: where device clocks are read.  simulated: every observation carries the fact `simulated`.
    set_clocks: those of meters that can be set and not read; not while nothing keeps the gateway's own right.
    accept: allow-list of addresses and 16-bit service UUIDs, comma-separated; empty: every health device.
    passkeys: of devices that show one on display or label, as `AA:BB:CC:DD:EE:FF=123456,…` (BlueZ only).
    bleak_backend, radio_url, bonds: another Bluetooth stack than BlueZ; see `gateway.bluez.open_radio`.
    phd_listen: HOST:PORT where `run` accepts 11073-20601 agents beside the radio; None: nowhere.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    site: Name
    source: Name
    outbox: Path = Path("suifang-gateway.sqlite")
    most_octets: Annotated[int, Field(ge=65536)] = 256 * 1024 * 1024
    most_together: Annotated[int, Field(ge=1, le=1000)] = 100
    zone: str = "Asia/Shanghai"
    simulated: bool = False
    set_clocks: bool = False
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")] | None = None

    broker_host: str = "127.0.0.1"
    broker_port: Annotated[int, Field(ge=1, le=65535)] = 1883
    broker_password: SecretStr | None = None
    broker_tls: bool = False
    broker_ca: Path | None = None
    broker_certificate: Path | None = None
    broker_key: Path | None = None
    receipts_qos: Annotated[int, Field(ge=0, le=1)] = 1
    in_flight: Annotated[int, Field(ge=1, le=100)] = 20
    resend_s: Seconds = 10.0
    resend_most_s: Seconds = 300.0
    reconnect_most_s: Seconds = 60.0
    status_s: Seconds = 60.0
    drain_s: Seconds = 10.0

    accept: Annotated[frozenset[str], NoDecode] = frozenset()
    bleak_backend: str | None = None
    radio_url: str = ""
    bonds: Path | None = None
    passkeys: Annotated[dict[str, SecretStr], NoDecode] = {}
    scan_s: Seconds = 30.0
    connect_s: Seconds = 20.0
    call_s: Seconds = 10.0
    idle_s: Seconds = 30.0
    rest_s: Seconds = 5.0
    rest_most_s: Seconds = 60.0

    phd_listen: str | None = None

    @field_validator("accept", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [part.strip().upper() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("passkeys", mode="before")
    @classmethod
    def _paired(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        if any(not re.fullmatch(r"[0-9]{1,6}", passkey) for _, _, passkey in pairs):
            raise ValueError("a passkey has one to six digits")
        return {address.strip().upper(): passkey for address, _, passkey in pairs}

    @field_validator("phd_listen")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                address(value)
        except BadSetting as error:
            raise ValueError(error.detail) from error
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone {value!r}") from error
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.broker_certificate is None) != (self.broker_key is None):
            raise ValueError("broker_certificate and broker_key stand together")
        if self.broker_ca is not None and not self.broker_tls:
            raise ValueError("broker_ca without broker_tls")
        return self

    def tls(self) -> ssl.SSLContext | None:
        """For the broker; None: without TLS. BadSetting: a file cannot be used."""
        if not self.broker_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.broker_ca)
            if self.broker_certificate is not None and self.broker_key is not None:
                context.load_cert_chain(self.broker_certificate, self.broker_key)
        except OSError as error:
            raise BadSetting(f"TLS: {error}") from error
        return context


def from_environment() -> Settings:
    """BadSetting: names each setting that is missing, unknown or out of range; never its value."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise BadSetting(f"unknown: {', '.join(unknown)}")
    try:
        return Settings()  # type: ignore[call-arg]  # filled from the environment
    except ValidationError as error:
        faults = [
            f"{PREFIX}{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise BadSetting("; ".join(faults)) from error

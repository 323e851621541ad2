"""Settings of the ingest service: `SUIFANG_INGEST_*` in the environment, unknown keys refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import (
    Field,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from devices.nomenclature import KINDS
from ingest.commit import UnknownDevices
from ingest.intake import Limits
from ingest.reorder import QuietHours
from ingest.retention import Keep
from ingest.shares import MOST_PARTITIONS

_Days = Annotated[int, Field(ge=1, le=100 * 366)]
_Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Built once, in the command line; everything else receives values."""

    model_config = SettingsConfigDict(env_prefix="SUIFANG_INGEST_", frozen=True, extra="forbid")

    database_url: SecretStr
    broker_host: str = "127.0.0.1"
    broker_port: Annotated[int, Field(ge=1, le=65535)] = 1883
    broker_user: str | None = None
    broker_password: SecretStr | None = None
    broker_ca_file: str | None = None
    """A CA file switches TLS on."""

    transport: Literal["mqtt", "jetstream"] = "mqtt"
    """`jetstream`: messages are taken from a NATS cluster; `broker_host` and `broker_port` mean nothing then."""

    nats_servers: Annotated[str, Field(min_length=1)] = "nats://127.0.0.1:4222"
    """Comma-separated; with `broker_ca_file`, TLS."""

    durable: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,48}$")] = "suifang-ingest"
    """Names the consumers at the cluster; all processes of one cell have the same."""

    replicas: Annotated[int, Field(ge=1, le=5)] = 3
    partitions: Annotated[int, Field(ge=1, le=MOST_PARTITIONS)] = 8
    """As many as the mapping in the cluster's configuration makes."""

    ack_wait_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """What a process took and did not acknowledge, because it is gone, is delivered again after this."""

    mqtt_version: Literal["5", "3.1.1"] = "5"
    client_id: Annotated[str, Field(min_length=1, max_length=64)] = "suifang-ingest"
    """Names the persistent session: two processes need two ids, and then a shared group."""

    shared_group: str | None = None
    part: Annotated[int, Field(ge=0, le=63)] = 0
    parts: Annotated[int, Field(ge=1, le=64)] = 1
    """Over MQTT, of so many processes that each hear everything, this one stores the devices of its part (from 0):
    a device stays with one writer of one process. Each needs its own client id, and none is in a shared group."""

    session_expiry_seconds: Annotated[int, Field(ge=1, le=2**32 - 1)] = 7 * 86400
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 400
    """Messages in hand without acknowledgement; the broker keeps the rest."""

    writers: Annotated[int, Field(ge=1, le=16)] = 2
    batch_observations: PositiveInt = 10_000
    batch_seconds: _Seconds = 0.05
    """A batch that grows while the writer is busy waits this long for more; an idle writer waits not at all."""

    unknown_devices: UnknownDevices = UnknownDevices.STORE
    future_seconds: Annotated[float, Field(gt=0, le=366 * 86400)] = 300.0
    ancient_days: Annotated[int, Field(ge=1, le=100 * 366)] = 1096
    site_zone: str = "Asia/Shanghai"
    """Where the hours and days of the roll-ups begin; another one makes them anew."""

    rollup_seconds: Annotated[float, Field(ge=0, le=366 * 86400, allow_inf_nan=False)] = 60.0
    """How often roll-ups follow what came; 0: this process leaves them to another."""

    keep_days: _Days | None = None
    """Retention of observations, checked daily; None keeps everything, here and below."""

    keep_concept_days: dict[str, _Days] = {}
    """Of observations of some concepts (`devices.nomenclature`), in place of `keep_days`."""

    keep_hourly_days: _Days | None = None
    keep_daily_days: _Days | None = None
    keep_quarantine_days: _Days | None = None
    """Since it was resolved; what is open stays."""

    keep_batch_days: _Days | None = None
    """Batches, their touches and assignment changes, since they were judged and rolled up."""

    columnstore_days: _Days | None = None
    """Chunks older than this are put into columns where the server can; None: never."""

    reorder_days: Annotated[int, Field(ge=0, le=100 * 366)] = 3
    """Chunks that ended longer ago are put in the order of their key, where the table has chunks; 0 or empty: never."""

    reorder_from_hour: Annotated[int, Field(ge=0, le=23)] = 1
    reorder_until_hour: Annotated[int, Field(ge=0, le=23)] = 5
    """Quiet hours in the site's zone: the only ones when that is begun. The same hour twice: any."""

    quarantine_alert_count: PositiveInt = 100
    """More new refusals than this in the window raise a technical alert; no source gives a number, it is ours."""

    quarantine_alert_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    quarantine_watch_seconds: _Seconds = 30.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _one_part_of_them(self) -> Self:
        if self.part >= self.parts:
            raise ValueError("part is counted from 0, so it is less than parts")
        if self.parts > 1 and self.shared_group is not None:
            raise ValueError("parts and shared_group: with a shared group no process hears everything")
        return self

    def limits(self) -> Limits:
        """The time limits as a value."""
        return Limits(timedelta(seconds=self.future_seconds), timedelta(days=self.ancient_days))

    def keep(self) -> Keep:
        """How long each sort of data is kept, as a value."""
        return Keep(
            observations=_days(self.keep_days),
            kinds={
                kind.code: timedelta(days=self.keep_concept_days[kind.concept])
                for kind in KINDS
                if kind.concept in self.keep_concept_days
            },
            hours=_days(self.keep_hourly_days),
            days=_days(self.keep_daily_days),
            quarantine=_days(self.keep_quarantine_days),
            batches=_days(self.keep_batch_days),
        )

    def quiet_hours(self) -> QuietHours:
        """When chunks may be put in order, as a value."""
        return QuietHours(ZoneInfo(self.site_zone), self.reorder_from_hour, self.reorder_until_hour)

    @field_validator("database_url")
    @classmethod
    def _address_of_a_database(cls, url: SecretStr) -> SecretStr:
        # said without the value: it holds a password
        try:
            understood = urlsplit(url.get_secret_value()).scheme in {"postgresql", "postgres"}
            conninfo_to_dict(url.get_secret_value())
        except (ValueError, psycopg.ProgrammingError):
            understood = False
        if not understood:
            raise ValueError("not an address like postgresql://user:password@host:5432/database")
        return url

    @field_validator("broker_ca_file")
    @classmethod
    def _file_exists(cls, name: str | None) -> str | None:
        if name is not None and not Path(name).is_file():
            raise ValueError(f"no such file: {name}")
        return name

    @field_validator("reorder_days", mode="before")
    @classmethod
    def _empty_is_never(cls, days: object) -> object:
        return 0 if days == "" else days

    @field_validator("site_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such time zone: {name}") from error
        return name

    @field_validator("keep_concept_days")
    @classmethod
    def _concepts_exist(cls, days: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(days.keys() - {kind.concept for kind in KINDS}):
            raise ValueError(f"no such concept: {unknown[0]}")
        return days

    def servers(self) -> tuple[str, ...]:
        """The nodes' addresses."""
        return tuple(part.strip() for part in self.nats_servers.split(",") if part.strip())


def _days(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(days=number)

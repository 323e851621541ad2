"""Settings of the monitor: environment `SUIFANG_MONITOR_*`, built only in `monitor.cli`."""

from __future__ import annotations

import os
from typing import Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "SUIFANG_MONITOR_"
_YEAR_DAYS: Final = 366


class DatabaseSettings(BaseSettings):
    """What commands need that only touch the database."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    database_url: SecretStr


class Settings(BaseSettings):
    """One frozen value a process. Unknown keys are refused: a misspelt setting must not be a silent default.

    edition: of the national specification; a site chooses it, there is no default (domain: later editions).
    regular_visit_days: days between regular visits; the 2011 text prints "at least 4 face-to-face a year" and no
    interval, so the pace is a convention of this project.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    database_url: SecretStr
    identity_key: SecretStr
    identity_key_id: str = Field(default="k1", pattern=r"^[A-Za-z0-9_-]{1,16}$")
    identity_keys_retired: dict[str, SecretStr] = {}
    blind_index_key: SecretStr
    edition: str
    programmes: tuple[str, ...] = ("hypertension", "diabetes")
    site_zone: str = "Asia/Shanghai"
    page_within_hours: int = Field(default=24, ge=1, le=_YEAR_DAYS * 24)
    history_days: int = Field(default=90, ge=1, le=100 * _YEAR_DAYS)
    poll_seconds: float = Field(default=5.0, gt=0, le=86400, allow_inf_nan=False)
    regular_visit_days: int = Field(default=91, ge=7, le=100 * _YEAR_DAYS)
    schedule_hour: int = Field(default=1, ge=0, le=23)
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    session_idle_minutes: int = Field(default=30, ge=1, le=_YEAR_DAYS * 1440)
    simulated_banner: bool = False
    secure_cookies: bool = True

    @field_validator("site_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such time zone: {name}") from error
        return name

    @model_validator(mode="after")
    def _refuse_unknown_environment(self) -> Self:
        known = {f"{PREFIX}{name}".upper() for name in type(self).model_fields}
        unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
        if unknown:
            raise ValueError(f"unknown settings in the environment: {', '.join(unknown)}")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which the site's days begin."""
        return ZoneInfo(self.site_zone)

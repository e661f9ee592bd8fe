"""The settings: environment variables that begin with ALLOTMENT_, or lines of a `.env` file."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from actors.cron import check_line
from domain.local_days import zone
from domain.values import CREDITS_MAX, Credits, Policy

FULL_ROLLOVER = "full"
NO_ROLLOVER = "none"


def _blank_is_unset(value: object) -> object:
    return None if value == "" else value


class Settings(BaseSettings):
    """Validated once at start; every process of the service works with the same values."""

    model_config = SettingsConfigDict(
        env_prefix="ALLOTMENT_", env_file=".env", extra="ignore", frozen=True
    )

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    http_replicas: Annotated[int, Field(ge=1, le=256)] = 1
    data_dir: Path = Path(".allotment")
    mongo_uri: Annotated[SecretStr | None, BeforeValidator(_blank_is_unset)] = None
    mongo_db: Annotated[str, Field(min_length=1, max_length=38)] = "allotment"
    shards: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=lambda: os.cpu_count() or 1)
    accounts_per_shard: Annotated[int, Field(ge=1)] = 500_000
    system_portion_bps: Annotated[int, Field(ge=0, le=10_000)] = 1000
    rollover: str = FULL_ROLLOVER
    timezone: str = "UTC"
    low_credits_percent: Annotated[int, Field(ge=0, le=100)] = 20
    holds_per_account: Annotated[int, Field(ge=1, le=1000)] = 100
    sweep_cron: Annotated[str, AfterValidator(check_line)] = "*/5 * * * *"
    expire_cron: Annotated[str, AfterValidator(check_line)] = "* * * * *"
    trim_cron: Annotated[str, AfterValidator(check_line)] = "30 3 * * *"
    journal_days: Annotated[int, Field(ge=30, le=36_500)] = 30
    max_staleness_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    request_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        zone(name)
        return name

    @field_validator("rollover")
    @classmethod
    def _known_rollover(cls, value: str) -> str:
        named = value in (FULL_ROLLOVER, NO_ROLLOVER)
        if not named and not (value.isdecimal() and int(value) <= CREDITS_MAX):
            raise ValueError("is `full`, `none` or a whole number of credits")
        return value

    @property
    def policy(self) -> Policy:
        """The part of the settings that decides amounts."""
        caps = {FULL_ROLLOVER: None, NO_ROLLOVER: Credits(0)}
        cap = caps[self.rollover] if self.rollover in caps else Credits(int(self.rollover))
        return Policy(
            self.system_portion_bps,
            cap,
            self.timezone,
            self.low_credits_percent,
            holds_per_account=self.holds_per_account,
        )


def explain(error: ValidationError) -> str:
    """Return what is wrong with the settings, a line each, without any value."""
    return "\n".join(
        f"ALLOTMENT_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
    )

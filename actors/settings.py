"""The settings: environment variables that begin with ALLOTMENT_, or lines of a `.env` file."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from actors.auth.token_rules import SECRET_LENGTH_MIN, TokenRules
from actors.events.settings import EventSettings
from actors.janitor.cron import check_line
from actors.janitor.jobs import Schedule
from actors.protocol.directory import SHARDS_MAX
from actors.runtime.service_settings import is_origin
from domain.local_days import check_zone
from domain.values import CREDITS_MAX, Credits, Policy

FULL_ROLLOVER = "full"
NO_ROLLOVER = "none"
ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


def _blank_is_unset(value: object) -> object:
    return None if value == "" else value


def _half_of_the_cores() -> int:
    """Return how many shards there are by default: whatever feeds them needs the other half."""
    return max((os.cpu_count() or 1) // 2, 1)


def _fetched_safely(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}:
        return url
    raise ValueError("is an https address (http on this machine only): it decides who is trusted")


def _origins(text: str) -> str:
    for origin in _listed(text):
        if origin != "*" and not is_origin(origin):
            raise ValueError(
                "is `*`, or origins as browsers send them, such as https://app.example"
            )
    return text


def _framers(text: str) -> str:
    if not all(map(ORIGIN.fullmatch, _listed(text))):
        raise ValueError("is origins, such as https://app.example")
    return text


def _link(text: str) -> str:
    parts = urlsplit(text)
    if text and not (parts.scheme in {"http", "https"} and parts.hostname):
        raise ValueError("is not an http address")
    return text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class Settings(EventSettings, BaseSettings):
    """Validated once at start; every process of the service works with the same values."""

    model_config = SettingsConfigDict(
        env_prefix="ALLOTMENT_", env_file=".env", extra="ignore", frozen=True
    )

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    connections_per_source: Annotated[int, Field(ge=0, le=1_000_000)] = 2_048
    http_replicas: Annotated[int, Field(ge=1, le=256)] = 1
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    portal_more_url: Annotated[str, AfterValidator(_link)] = ""
    portal_framed_by: Annotated[str, AfterValidator(_framers)] = ""
    data_dir: Path = Path(".allotment")
    ray_dashboard: bool = True
    mongo_uri: Annotated[SecretStr | None, BeforeValidator(_blank_is_unset)] = None
    mongo_db: Annotated[str, Field(min_length=1, max_length=38)] = "allotment"
    shards: Annotated[int, Field(ge=1, le=SHARDS_MAX)] = Field(default_factory=_half_of_the_cores)
    accounts_per_shard: Annotated[int, Field(ge=1)] = 500_000
    system_portion_bps: Annotated[int, Field(ge=0, le=10_000)] = 1000
    rollover: str = FULL_ROLLOVER
    timezone: Annotated[str, AfterValidator(check_zone)] = "UTC"
    low_credits_percent: Annotated[int, Field(ge=0, le=100)] = 20
    # With all details a hold may have, 700 of one day still fit into its document (16 MB).
    holds_per_account: Annotated[int, Field(ge=1, le=700)] = 500
    late_settle_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400
    prices: Annotated[Path | None, BeforeValidator(_blank_is_unset)] = None
    sweep_cron: Annotated[str, AfterValidator(check_line)] = "*/5 * * * *"
    expire_cron: Annotated[str, AfterValidator(check_line)] = "* * * * *"
    trim_cron: Annotated[str, AfterValidator(check_line)] = "30 3 * * *"
    jwt_secret: Annotated[
        SecretStr | None, Field(min_length=SECRET_LENGTH_MIN), BeforeValidator(_blank_is_unset)
    ] = None
    jwks_url: Annotated[
        str | None, AfterValidator(_fetched_safely), BeforeValidator(_blank_is_unset)
    ] = None
    jwt_issuer: Annotated[str | None, BeforeValidator(_blank_is_unset)] = None
    jwt_audience: Annotated[str | None, BeforeValidator(_blank_is_unset)] = None
    user_calls_per_second: Annotated[int, Field(ge=0, le=1_000)] = 250
    rate_limit_requests: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    rate_limit_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    test_clock: bool = False
    journal_days: Annotated[int, Field(ge=30, le=36_500)] = 30
    audit_days: Annotated[int, Field(ge=30, le=36_500)] = 400
    spike_factor: Annotated[Decimal, Field(ge=1, le=1_000_000)] = Decimal(3)
    max_staleness_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    stripe_api_key: Annotated[SecretStr | None, BeforeValidator(_blank_is_unset)] = None
    stripe_webhook_secrets: SecretStr | None = None
    stripe_api_base: Annotated[str | None, BeforeValidator(_blank_is_unset)] = None
    reconcile_cron: Annotated[str, AfterValidator(check_line)] = "15 * * * *"
    request_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Take what an older version packed, too: what that did not know has its default."""
        defaults = {
            name: known.get_default(call_default_factory=True)
            for name, known in type(self).model_fields.items()
        }
        super().__setstate__(state | {"__dict__": defaults | state["__dict__"]})

    @field_validator("rollover")
    @classmethod
    def _known_rollover(cls, value: str) -> str:
        named = value in (FULL_ROLLOVER, NO_ROLLOVER)
        if not named and not (value.isdecimal() and int(value) <= CREDITS_MAX):
            raise ValueError("is `full`, `none` or a whole number of credits")
        return value

    @field_validator("stripe_webhook_secrets")
    @classmethod
    def _no_blank_secret(cls, secrets: SecretStr | None) -> SecretStr | None:
        # An empty secret would accept what anybody signs with it.
        if secrets is not None and not all(map(str.strip, secrets.get_secret_value().split(","))):
            raise ValueError("holds a blank secret: give one or several, or leave it unset")
        return secrets

    @field_validator("stripe_api_base")
    @classmethod
    def _an_address(cls, base: str | None) -> str | None:
        if base is not None and not base.startswith(("http://", "https://")):
            raise ValueError("is not an http address")
        return base and base.rstrip("/")

    @model_validator(mode="after")
    def _secrets_come_with_a_key(self) -> Self:
        if self.stripe_webhook_secrets is not None and self.stripe_api_key is None:
            raise ValueError("ALLOTMENT_STRIPE_WEBHOOK_SECRETS needs ALLOTMENT_STRIPE_API_KEY")
        return self

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """What Stripe signs its events with; none: Stripe is not set up."""
        if self.stripe_webhook_secrets is None:
            return ()
        return tuple(s.strip() for s in self.stripe_webhook_secrets.get_secret_value().split(","))

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of browsers' pages that may call; `*`: any."""
        return _listed(self.cors_origins)

    @property
    def portal_framers(self) -> tuple[str, ...]:
        """The origins of the pages that may frame the page for users."""
        return _listed(self.portal_framed_by)

    @property
    def stripe_livemode(self) -> bool:
        """Which of Stripe's two modes the key is of."""
        key = self.stripe_api_key.get_secret_value() if self.stripe_api_key else ""
        return key.startswith(("sk_live_", "rk_live_"))

    @property
    def schedule(self) -> Schedule:
        """When the janitor's jobs run."""
        return Schedule(
            sweep=self.sweep_cron,
            expire=self.expire_cron,
            trim=self.trim_cron,
            reconcile=self.reconcile_cron,
            timezone=self.timezone,
            journal_days=self.journal_days,
            audit_days=self.audit_days,
        )

    @property
    def token_rules(self) -> TokenRules | None:
        """What a user's token must be; None: only keys are taken."""
        if self.jwt_secret is None and self.jwks_url is None:
            return None
        secret = None if self.jwt_secret is None else self.jwt_secret.get_secret_value()
        return TokenRules(secret, self.jwks_url, self.jwt_issuer, self.jwt_audience)

    @property
    def requests_per_replica(self) -> int:
        """Each replica's share of what a caller may send in a window, rounded up; 0: no limit."""
        return -(-self.rate_limit_requests // self.http_replicas)

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
            self.spike_factor,
            self.holds_per_account,
            self.late_settle_seconds,
        )


def explain(error: ValidationError) -> str:
    """Return what is wrong with the settings, a line each, without any value."""
    return "\n".join(
        f"ALLOTMENT_{str(item['loc'][0]).upper()}: {item['msg']}" if item["loc"] else item["msg"]
        for item in error.errors()
    )

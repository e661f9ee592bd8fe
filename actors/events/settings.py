"""The settings of the events' handlers: which there are, and where they send."""

import json
import re
from datetime import timedelta
from ipaddress import IPv6Address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    SecretStr,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode

from actors.events.signatures import check_secret
from domain.events import EventType

OURS = frozenset(
    {"subscriptions", "dailycredits", "packs", "usages"}
)  # And what begins with `allotment_`.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}")


def _words(value: object) -> object:
    """Take a comma-separated text for the list it means."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _read_json(value: object) -> object:
    """Take a JSON text for what it says. Its own words stay out of the message: it has secrets."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else ()
    except ValueError:
        raise ValueError("is not JSON") from None


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _blank_is_unset(value: object) -> object:
    return None if value == "" else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class WebhookEndpoint(BaseModel):
    """Where events go over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr
    """Secret, because addresses often carry a token."""
    secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1, max_length=5)]
    """Every one of them signs: a receiver may move from one to the next when it likes."""
    events: tuple[EventType, ...] = ()
    """Which events; empty: all."""
    name: str = ""
    """What operators call it, and under which its place is kept; by default host and path."""

    @field_validator("url")
    @classmethod
    def _http(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is not an http or https address")
        return url

    @field_validator("secrets")
    @classmethod
    def _usable(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            check_secret(secret.get_secret_value())
        return secrets

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if name and not _NAME.fullmatch(name):
            raise ValueError("has 1 to 64 letters, digits, dots, dashes and underscores")
        return name

    @property
    def shown(self) -> str:
        """What it is called: never with user, password or query."""
        parts = urlsplit(self.url.get_secret_value())
        port = f":{parts.port}" if parts.port else ""
        return self.name or f"{parts.hostname}{port}{parts.path}"


class EventSettings(BaseSettings):
    """Each handler of events has its switch."""

    log_events: bool = True
    profile: bool = True
    users_collection: Annotated[str, Field(min_length=1, max_length=100)] = "users"
    features: Words = ()
    webhooks: Annotated[tuple[WebhookEndpoint, ...], NoDecode, BeforeValidator(_read_json)] = ()
    endpoint_hosts: Words = ()
    smtp_host: str = ""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    smtp_tls: Annotated[str, Field(pattern="^(none|starttls|tls)$")] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    mail_from: str = "allotment@localhost"
    alert_to: Words = ()
    mail_templates: Annotated[DirectoryPath | None, BeforeValidator(_blank_is_unset)] = None
    event_retry_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 86_400.0

    @field_validator("webhooks")
    @classmethod
    def _different(cls, webhooks: tuple[WebhookEndpoint, ...]) -> tuple[WebhookEndpoint, ...]:
        names = [webhook.shown for webhook in webhooks]
        if len(set(names)) < len(names):
            raise ValueError("two endpoints have one name")
        return webhooks

    @field_validator("endpoint_hosts")
    @classmethod
    def _hosts_alone(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_HOST.fullmatch(host) or _is_ipv6(host) for host in hosts):
            raise ValueError("names hosts, without `https://`, port or path")
        return tuple(map(str.lower, hosts))

    @field_validator("features")
    @classmethod
    def _plain(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in features):
            raise ValueError("a feature has 1 to 64 letters, digits, dashes and underscores")
        return features

    @field_validator("users_collection")
    @classmethod
    def _an_applications_collection(cls, name: str) -> str:
        if name in OURS or name.startswith(("allotment_", "system.")) or set(name) & set("$\0"):
            raise ValueError("names a collection that is not the application's")
        return name

    @property
    def event_give_up_after(self) -> timedelta:
        """How long an event is tried before it is a dead letter."""
        return timedelta(seconds=self.event_retry_seconds)

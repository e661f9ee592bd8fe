"""Endpoints of webhooks that are made at run time, beside those of the environment.

Each has its place among the events in its own document, from the moment it is made: what is removed
leaves none behind, and holds no event up.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from yarl import URL

from actors.events.settings import WebhookEndpoint
from actors.events.signatures import PREFIX

ENDPOINTS_MAX = (
    20  # Made at run time: each has up to 16 deliveries under way, and 2,000 events in RAM.
)
SECRETS_MAX = 5  # Of one endpoint that sign at once; of more, the oldest goes.
SECRET_BYTES = 32
ENVIRONMENT_ID = "env_"  # What ids of the environment's endpoints begin with.
CONSUMER = "endpoint "  # What the others' consumers are called after, before their id.


class UnknownEndpointError(ValueError):
    """No endpoint has this id."""


class SigningSecret(NamedTuple):
    """What an endpoint's events are signed with."""

    text: str
    until: datetime | None = None
    """When it signs no more; None: it goes on."""

    def __repr__(self) -> str:
        return f"SigningSecret(until={self.until})"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that was made at run time."""

    endpoint_id: str
    url: str = field(repr=False)
    """Secret, because addresses often carry a token."""
    events: tuple[str, ...]
    """Types of events; empty: all."""
    enabled: bool
    secrets: tuple[SigningSecret, ...] = field(repr=False)
    created_at: datetime
    changed_at: datetime
    version: int = 1
    """One more with each change."""

    @property
    def consumer(self) -> str:
        """What operators' reports call it."""
        return CONSUMER + self.endpoint_id


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What the request that made an endpoint was answered, for its repeats."""

    key: str
    fingerprint: str
    text: str = field(repr=False)


class EndpointStore(Protocol):
    """Keeps endpoints. Every call blocks; may raise StorageUnavailableError."""

    def insert(self, endpoint: Endpoint, first: FirstAnswer | None) -> bool:
        """Keep a new endpoint, which begins with what is told from now on.

        False: another was made with the key of `first`, and nothing is kept.
        """

    def first_answer(self, key: str) -> FirstAnswer | None:
        """Return what the request of an idempotency key was answered, while its endpoint is there."""

    def list(self) -> list[Endpoint]:
        """Return all endpoints, the oldest first."""

    def find(self, endpoint_id: str) -> Endpoint | None:
        """Return one endpoint."""

    def replace(self, old: Endpoint, new: Endpoint) -> bool:
        """Keep a change, if nobody has changed the endpoint or removed it since it was read."""

    def remove(self, endpoint_id: str) -> bool:
        """Remove an endpoint, with its place and its dead letters; False: there is none."""


def endpoint_id_of(consumer: str) -> str | None:
    """Return the id of the endpoint that a consumer is called after; None: it is another's."""
    return consumer.removeprefix(CONSUMER) if consumer.startswith(CONSUMER) else None


def make_endpoint(url: str, events: Iterable[str], now: datetime, *, enabled: bool) -> Endpoint:
    """Return a new endpoint, with a secret of its own."""
    endpoint_id = f"ep_{secrets.token_hex(8)}"
    signing = (SigningSecret(make_secret()),)
    return Endpoint(endpoint_id, url, tuple(sorted(set(events))), enabled, signing, now, now)


def make_secret() -> str:
    """Return a new secret, as Standard Webhooks spell them."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def secrets_in_force(signing: Iterable[SigningSecret], now: datetime) -> tuple[SigningSecret, ...]:
    """Return those that sign at an instant."""
    return tuple(secret for secret in signing if secret.until is None or now < secret.until)


def rotated(
    signing: Iterable[SigningSecret], now: datetime, old_until: datetime
) -> tuple[SigningSecret, ...]:
    """Return an endpoint's secrets with a new one, the last; those before sign until then."""
    old = [
        secret._replace(until=min(secret.until or old_until, old_until))
        for secret in secrets_in_force(signing, now)
    ]
    kept = secrets_in_force(old, now)[-(SECRETS_MAX - 1) :]
    return (*kept, SigningSecret(make_secret()))


def address_of(url: str) -> str:
    """Return where an endpoint is, without what may be secret: user, password, query."""
    parts = URL(url)  # As what sends reads it.
    port = f":{parts.explicit_port}" if parts.explicit_port else ""
    host = f"[{parts.host}]" if ":" in (parts.host or "") else parts.host
    return f"{parts.scheme}://{host}{port}{parts.raw_path}"


def environment_id(endpoint: WebhookEndpoint) -> str:
    """Return the id of one of the environment's endpoints: of its name."""
    return ENVIRONMENT_ID + hashlib.blake2b(endpoint.shown.encode(), digest_size=8).hexdigest()

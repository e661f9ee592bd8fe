"""Events as signed webhooks: one handler an endpoint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from actors.events.delivery import ATTEMPT_SECONDS_MAX, DeliveryError, RefusedDeliveryError
from actors.events.endpoints import Endpoint
from actors.events.http_client import UnreachableError
from actors.events.records import OrderedEvent
from actors.events.settings import WebhookEndpoint
from actors.events.signatures import Signer

TRY_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 that ask for a later try. Of all others the endpoint means what it says."""


class Post(Protocol):
    """The way out."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Return the status of the answer to a body. Raises UnreachableError."""

    async def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is sent where, and how it is signed."""

    name: str
    """What operators call the endpoint."""
    url: str = field(repr=False)
    types: frozenset[str]
    """Types of events; empty: all."""
    signer: Signer = field(repr=False)

    async def send(self, http: Post, event_id: str, body: str, at: datetime) -> int:
        """Return the status of the answer to a signed body. Raises UnreachableError."""
        headers = self.signer.headers(event_id, at, body)
        headers["content-type"] = "application/json"
        return await http.post(self.url, body.encode(), headers)


def target_of(endpoint: WebhookEndpoint) -> Target:
    """Return what an endpoint of the environment is sent."""
    signer = Signer([(secret.get_secret_value(), None) for secret in endpoint.secrets])
    url = endpoint.url.get_secret_value()
    return Target(f"webhook {endpoint.shown}", url, frozenset(endpoint.events), signer)


def target_of_made(endpoint: Endpoint) -> Target:
    """Return what an endpoint that was made at run time is sent."""
    return Target(
        endpoint.consumer, endpoint.url, frozenset(endpoint.events), Signer(endpoint.secrets)
    )


class WebhookHandler:
    """Sends events to one endpoint. Id and body are the same at each try."""

    newest_only = False
    seconds_max = ATTEMPT_SECONDS_MAX

    def __init__(self, target: Target, http: Post, clock: Callable[[], datetime]) -> None:
        self.name = target.name
        self._target = target
        self._http = http
        self._clock = clock

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether the endpoint's filter lets the event pass."""
        return not self._target.types or event.record.type in self._target.types

    async def handle(self, event: OrderedEvent) -> None:
        """Send an event. Raises DeliveryError."""
        body = event.record.model_dump_json()
        try:
            status = await self._target.send(self._http, event.record.id, body, self._clock())
        except UnreachableError as error:
            raise DeliveryError(f"the endpoint cannot be reached: {error}") from None
        if 200 <= status < 300:
            return
        if status >= 500 or status in TRY_AGAIN:
            raise DeliveryError(f"the endpoint answers {status}")
        raise RefusedDeliveryError(f"the endpoint answers {status}")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

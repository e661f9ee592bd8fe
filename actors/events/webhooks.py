"""Events as signed webhooks: one handler an endpoint."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from actors.events.delivery import DeliveryError, RefusedDeliveryError
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


class WebhookHandler:
    """Sends events to one endpoint. Id and body are the same at each try."""

    def __init__(
        self, endpoint: WebhookEndpoint, http: Post, clock: Callable[[], datetime]
    ) -> None:
        self.name = f"webhook {endpoint.shown}"
        self._url = endpoint.url.get_secret_value()
        self._types = frozenset(endpoint.events)
        self._signer = Signer([secret.get_secret_value() for secret in endpoint.secrets])
        self._http = http
        self._clock = clock

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether the endpoint's filter lets the event pass."""
        return not self._types or event.record.type in self._types

    async def handle(self, event: OrderedEvent) -> None:
        """Send an event. Raises DeliveryError."""
        body = event.record.model_dump_json()
        headers = self._signer.headers(event.record.id, self._clock(), body)
        headers["content-type"] = "application/json"
        try:
            status = await self._http.post(self._url, body.encode(), headers)
        except UnreachableError as error:
            raise DeliveryError(f"the endpoint cannot be reached: {error}") from None
        if 200 <= status < 300:
            return
        if status >= 500 or status in TRY_AGAIN:
            raise DeliveryError(f"the endpoint answers {status}")
        raise RefusedDeliveryError(f"the endpoint answers {status}")

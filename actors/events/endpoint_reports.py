"""What operators read about endpoints. Their secrets are shown to those alone who have just made them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import Field

from actors.events.endpoints import (
    Endpoint,
    address_of,
    environment_id,
    secrets_in_force,
)
from actors.events.settings import WebhookEndpoint
from actors.protocol.reports import Report


class EndpointRecord(Report):
    """An endpoint of webhooks, without its secrets."""

    endpoint_id: str = Field(examples=["ep_5f0c91ab7d2191c2"])
    source: Literal["environment", "runtime"] = Field(examples=["runtime"])
    """Where it is from: those of the environment are changed there alone."""
    endpoint: str = Field(examples=["endpoint ep_5f0c91ab7d2191c2"])
    """What `GET /admin/events` calls it."""
    address: str = Field(examples=["https://crm.example/hook"])
    """Where it is, without user, password and query."""
    events: list[str] = Field(examples=[["subscription.low_credits"]])
    """The types it is sent; empty: all."""
    enabled: bool = Field(examples=[True])
    created_at: datetime | None = Field(examples=["2026-03-10T12:00:00Z"])
    changed_at: datetime | None = Field(examples=["2026-03-10T12:00:00Z"])
    old_secret_until: datetime | None = Field(examples=[None])
    """Until when the secret before signs, too; null: there is but one."""


class MadeEndpoint(EndpointRecord):
    """An endpoint whose secret was made just now: it is shown this once."""

    secret: str = Field(examples=["whsec_" + "Q" * 43 + "="])


class EndpointTrial(Report):
    """What came of a test event."""

    endpoint_id: str = Field(examples=["ep_5f0c91ab7d2191c2"])
    delivered: bool = Field(examples=[True])
    """The answer was 2xx."""
    status: int | None = Field(examples=[204])
    """That of the answer; null: there was none."""
    milliseconds: int = Field(examples=[31])
    error: str | None = Field(examples=[None])
    """Why there was no answer."""


def endpoint_record(endpoint: Endpoint, now: datetime) -> EndpointRecord:
    """Return what may be shown of an endpoint that was made at run time."""
    *old, _ = secrets_in_force(endpoint.secrets, now)
    ends = [secret.until for secret in old if secret.until is not None]
    return EndpointRecord(
        endpoint_id=endpoint.endpoint_id,
        source="runtime",
        endpoint=endpoint.consumer,
        address=address_of(endpoint.url),
        events=list(endpoint.events),
        enabled=endpoint.enabled,
        created_at=endpoint.created_at,
        changed_at=endpoint.changed_at,
        old_secret_until=max(ends, default=None),
    )


def made_endpoint(endpoint: Endpoint, now: datetime) -> MadeEndpoint:
    """Return what is shown of an endpoint with a new secret, once."""
    shown = endpoint_record(endpoint, now).model_dump()
    return MadeEndpoint(**shown, secret=endpoint.secrets[-1].text)


def environment_records(endpoints: Iterable[WebhookEndpoint]) -> list[EndpointRecord]:
    """Return what may be shown of the environment's endpoints."""
    return [
        EndpointRecord(
            endpoint_id=environment_id(endpoint),
            source="environment",
            endpoint=f"webhook {endpoint.shown}",
            address=address_of(endpoint.url.get_secret_value()),
            events=list(endpoint.events),
            enabled=True,
            created_at=None,
            changed_at=None,
            old_secret_until=None,
        )
        for endpoint in endpoints
    ]

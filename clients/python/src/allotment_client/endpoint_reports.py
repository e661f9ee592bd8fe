"""What operators read about endpoints of webhooks, and about settings of the run time."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """An endpoint of webhooks, without its secrets."""

    endpoint_id: str
    source: str
    """`runtime`, or `environment`: changed there alone."""
    endpoint: str
    """What the report of events calls it."""
    address: str
    """Where it is, without user, password and query."""
    events: list[str]
    """The types it is sent; empty: all."""
    enabled: bool
    created_at: datetime | None
    changed_at: datetime | None
    old_secret_until: datetime | None
    """Until when the secret before signs, too; None: there is but one."""


@dataclass(frozen=True, slots=True)
class MadeEndpoint(EndpointRecord):
    """An endpoint whose secret was made just now: it is shown this once."""

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EndpointTrial:
    """What came of a test event."""

    endpoint_id: str
    delivered: bool
    """The answer was 2xx."""
    status: int | None
    """That of the answer; None: there was none."""
    milliseconds: int
    error: str | None
    """Why there was no answer."""


@dataclass(frozen=True, slots=True)
class SettingsReport:
    """What is set at run time, and what the service's environment says of the same."""

    cors_origins: list[str]
    """Origins of browsers' pages that may call, set at run time."""
    environment_cors_origins: list[str]
    """Those of the environment, which may call, too."""
    low_credits_percents: list[int] | None
    """Thresholds of low credits, the highest first, set at run time; None: none are."""
    environment_low_credits_percent: int
    """That of the environment, which counts where none are set."""

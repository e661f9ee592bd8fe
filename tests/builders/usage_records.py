"""Records of usage, and the sums of a month."""

from datetime import datetime
from typing import Any

from actors.protocol.queries import parse_month
from domain.local_days import midnight
from domain.values import UserId
from tests.fakes.setups import Setup

ANN = UserId("ann")


def record(setup: Setup, number: object, at: datetime, **fields: Any) -> None:
    """Insert a usage record as another program would."""
    known = {"user_id": ANN, "service_type": "chat", "credit_amount": 1} | fields
    setup.insert("usages", _id=number, timestamp=at, **known)


def month(setup: Setup, name: str, timezone: str) -> Any:
    first, after = parse_month(name)
    span = (midnight(first, timezone), midnight(after, timezone))
    return setup.reads.usage_sums(ANN, span, timezone)

"""A usage may name its own time, which is kept in UTC to the millisecond."""

from datetime import datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from domain.api.requests import RecordUsageBody
from tests.builders.ledger import utc


def timestamp_of(sent: object) -> datetime | None:
    usage = {"user_id": "ada", "service_type": "chat", "credit_amount": 5}
    return RecordUsageBody.model_validate(usage | {"timestamp": sent}).timestamp


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-03-02T12:00:00Z", utc("2026-03-02T12:00")),
        ("2026-03-03T01:00:00.123456+13:00", utc("2026-03-02T12:00:00.123")),
        ("1970-01-01T00:00:00Z", utc("1970-01-01")),
        ("2199-12-31T23:59:59.999Z", utc("2199-12-31T23:59:59.999")),
        (datetime(2026, 3, 2, 12, tzinfo=timezone(timedelta(hours=1))), utc("2026-03-02T11:00")),
    ],
)
def test_a_timestamp_is_read_in_utc_to_the_millisecond(sent: object, read: datetime) -> None:
    timestamp = timestamp_of(sent)

    assert timestamp == read
    assert timestamp is not None
    assert timestamp.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("2026-03-02T12:00:00", id="naive"),
        pytest.param("2026-03-02", id="a day"),
        pytest.param("1969-12-31T23:59:59.999Z", id="too early"),
        pytest.param("2200-01-01T00:00:00Z", id="too late"),
        pytest.param("0001-01-01T00:00:00+14:00", id="before all calendars"),
        pytest.param("9999-12-31T23:59:59-12:00", id="after all calendars"),
        pytest.param("1772452800", id="seconds as text"),
        pytest.param("1772452800.5", id="a fraction as text"),
        pytest.param(1_772_452_800, id="seconds"),
        pytest.param(1_772_452_800.5, id="a fraction"),
        pytest.param(True, id="bool"),
        pytest.param("yesterday", id="words"),
        pytest.param("", id="empty"),
    ],
)
def test_another_timestamp_is_refused(sent: object) -> None:
    with pytest.raises(ValidationError) as error:
        timestamp_of(sent)

    assert error.value.errors()[0]["loc"] == ("timestamp",)


def test_a_usage_need_not_name_its_time() -> None:
    assert timestamp_of(None) is None

"""The zones of a subscription in its document, written by us and read back whoever wrote them."""

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from typing import Any

from domain.eras import ERAS_MAX, Era
from domain.local_days import zone


def era_documents(eras: tuple[Era, ...]) -> list[dict[str, str]]:
    """Return earlier zones as a subscription's `timezones` holds them, oldest first."""
    return [{"timezone": era.timezone, "until": era.last_date.isoformat()} for era in eras]


def read_zones(document: Mapping[str, Any], default: str) -> tuple[str, tuple[Era, ...]]:
    """Return the present zone of a subscription and those before. ValueError: they say nothing."""
    value = document.get("timezone")
    return default if value is None else _zone(value, "timezone"), _eras(document)


def _eras(document: Mapping[str, Any]) -> tuple[Era, ...]:
    items = document.get("timezones")
    if items is None:
        return ()
    if not isinstance(items, list):
        raise ValueError("timezones is not a list")  # noqa: TRY004 - callers await one kind
    if len(items) > ERAS_MAX:
        raise ValueError(f"timezones has more than {ERAS_MAX} parts")
    eras = tuple(map(_era, items))
    for era, later in pairwise(eras):
        if later.last_date <= era.last_date:
            raise ValueError("timezones is not in the order of its dates")
    return eras


def _era(item: object) -> Era:
    if not isinstance(item, Mapping):
        raise ValueError("a part of timezones is not an object")  # noqa: TRY004
    try:
        until = date.fromisoformat(str(item.get("until")))
    except ValueError as error:
        raise ValueError("timezones.until is not a calendar day") from error
    if not date.min.year < until.year < date.max.year:
        raise ValueError("timezones.until is at an end of the calendar")
    return Era(_zone(item.get("timezone"), "timezones.timezone"), until)


def _zone(value: object, field: str) -> str:
    name = str(value)
    try:
        zone(name)
    except ValueError as error:
        raise ValueError(f"{field} is unknown") from error
    return name

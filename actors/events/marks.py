"""Marks: ids of the places where streams begin, so that one that told nothing yet can be resumed.

`at_7` is the place of the seventh event of all. A user is told `own_3.0` instead, a place among
that user's own events: how many events there are of others is nobody's business.
"""

import re
from typing import NamedTuple

NUMBER = "(0|[1-9][0-9]{0,18})"
OF_ALL = re.compile(f"at_{NUMBER}")
OF_OWN = re.compile(rf"own_{NUMBER}\.{NUMBER}")


class OwnPlace(NamedTuple):
    """Which of a user's events: the number of its entry, and its place among those of the entry."""

    seq: int
    place: int


NO_EVENT_YET = OwnPlace(0, 0)
"""In front of all events of a user: entries count from 1."""


def mark_of_all(order: int) -> str:
    """Return the mark of a place among all events."""
    return f"at_{order}"


def mark_of_own(seq: int, place: int) -> str:
    """Return the mark of one of a user's events."""
    return f"own_{seq}.{place}"


def read_place(mark: str) -> int | None:
    """Return the place among all events that a mark names; None: it names none."""
    found = OF_ALL.fullmatch(mark)
    return int(found[1]) if found else None


def read_own(mark: str) -> OwnPlace | None:
    """Return which of a user's events a mark names; None: it names none."""
    found = OF_OWN.fullmatch(mark)
    return OwnPlace(int(found[1]), int(found[2])) if found else None

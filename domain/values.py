"""The smallest words of the domain: credits, ids, instants, and the policy a service runs under."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NewType

from domain.pricing import NO_PRICES, PriceList

Credits = NewType("Credits", int)
"""The indivisible unit of account. May be negative only as debt or as a correction."""

NO_CREDITS = Credits(0)

UserId = NewType("UserId", str)
"""1 to 128 printable characters without spaces; 24 hex digits are in lower case."""

CREDITS_MAX = 2**53 - 1
"""The largest amount anywhere: the largest integer every JSON reader keeps exact."""

USER_ID_LENGTH_MAX = 128

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")


class Status(StrEnum):
    """What a subscription is. `none` belongs to users who never had one."""

    NONE = "none"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


SPENDING_STATUSES = frozenset({Status.ACTIVE, Status.PAST_DUE})
CURRENT_STATUSES = frozenset({Status.ACTIVE, Status.PAST_DUE, Status.PAUSED})


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide amounts. One service runs under one policy."""

    system_portion_bps: int = 1000
    """Share of every grant kept by the system, in basis points (1/100 of a percent)."""

    rollover_cap: Credits | None = None
    """What a day may hand to the next at most; None: all of it (`full`); 0: nothing (`none`)."""

    timezone: str = "UTC"
    """IANA name of the zone of users without a subscription, and of new subscriptions."""

    low_credits_percent: int = 20
    """Remaining credits at or below this share of the day's credits are called low."""

    spike_factor: Decimal = Decimal(3)
    """A day's use of at least so many times the user's mean is a spike."""
    holds_per_account: int = 500
    """How many holds one account may have open."""

    late_settle_seconds: int = 86_400
    """For how long a hold that has expired can still be settled."""

    prices: PriceList = NO_PRICES
    """What tokens cost. This and what follows changes while the service runs."""

    low_credits_percents: tuple[int, ...] = ()
    """The shares at which low credits are told, the highest first, in place of the one above.

    Empty: none are set, and that one counts.
    """


def is_object_id(text: str) -> bool:
    """Say whether the text is 24 hex digits: such a user id is stored as an ObjectId."""
    return _OBJECT_ID.fullmatch(text) is not None


def parse_user_id(text: str) -> UserId:
    """Return the user id the text spells. Raises ValueError with a reason a caller may read."""
    if not 1 <= len(text) <= USER_ID_LENGTH_MAX:
        raise ValueError(f"a user id has 1 to {USER_ID_LENGTH_MAX} characters")
    if " " in text or not text.isprintable():
        raise ValueError("a user id has printable characters only, and no spaces")
    return UserId(text.lower() if is_object_id(text) else text)


def to_instant(moment: datetime) -> datetime:
    """Return the moment in UTC, cut to milliseconds: the precision MongoDB keeps."""
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


def derive_object_id(at: datetime, purpose: str, user_id: UserId, key: str) -> str:
    """Return an ObjectId (24 hex digits) for what the command with this key makes.

    It begins with the seconds of `at`, as every ObjectId does; the rest is a digest, so that
    a command decided twice at one instant names the same documents.
    """
    digest = hashlib.blake2b(f"{purpose} {user_id} {key}".encode(), digest_size=8)
    return f"{int(at.timestamp()):08x}{digest.hexdigest()}"


@lru_cache(maxsize=8192)  # One call or one page of a warm start asks for it several times.
def user_digest(user_id: UserId) -> bytes:
    """Return 8 bytes that are the same in every process, on every machine, for ever."""
    return hashlib.blake2b(user_id.encode(), digest_size=8).digest()


def owner_mark(user_id: UserId) -> str:
    """Return the 8 hex digits that a document's id carries of its user."""
    return user_digest(user_id)[:4].hex()


def mark_of(document_id: str) -> str:
    """Return the 8 hex digits where an id made by `owned_id` carries its user's mark."""
    return document_id[8:16]


def owned_id(at: datetime, user_id: UserId, tail: str) -> str:
    """Return an ObjectId (24 hex digits) that tells, to those who know the user, whose it is.

    For documents whose deletion must be followed: of a deleted document only its id is known.
    `tail` is 8 hex digits that nothing else of this user has in the second of `at`.
    """
    return f"{int(at.timestamp()):08x}{owner_mark(user_id)}{tail}"


def derive_owned_id(at: datetime, purpose: str, user_id: UserId, key: str) -> str:
    """Return an id that tells its user, for what the command with this key makes."""
    digest = hashlib.blake2b(f"{purpose} {user_id} {key}".encode(), digest_size=4)
    return owned_id(at, user_id, digest.hexdigest())

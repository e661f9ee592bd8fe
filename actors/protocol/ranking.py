"""Users by what they have left: what is asked of the shards, what they say, and what operators read."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from pydantic import Field

from actors.protocol.reports import Report
from domain.api.answers import CreditStatusResponse
from domain.api.fields import Moment
from domain.values import Credits, UserId

RANKED_MAX = 1_000  # Users that one look ranks.


class Order(StrEnum):
    """In which order users are ranked by what they have left."""

    LEAST = "least"
    MOST = "most"


class Ranked(NamedTuple):
    """The first of the users in RAM by what they had left, of one shard or of all."""

    users: int
    """In RAM."""
    looked_at: int
    """Of these: fewer than there are, where a look was not whole in time."""
    as_of: datetime
    """When the look began, the oldest of several."""
    first: list[tuple[Credits, UserId]]


class RankedUsers(Report):
    """The answer of `GET /admin/users`."""

    order: Order = Field(examples=["least"])
    users: int = Field(examples=[5000])
    """In RAM."""
    looked_at: int = Field(examples=[5000])
    """Of these: fewer than there are, where a look was not whole in time. It goes on: ask again."""
    as_of: Moment
    """When the look began by which they were chosen. What each has left is as of now."""
    items: list[CreditStatusResponse]


def first_of_all(parts: Sequence[Ranked], order: Order, limit: int) -> Ranked:
    """Return the first of what all shards have ranked; there is one shard at least."""
    users, looked_at, moments, ranked = zip(*parts, strict=True)
    sign = 1 if order is Order.LEAST else -1
    first = sorted(chain(*ranked), key=lambda one: (sign * one[0], one[1]))[:limit]
    return Ranked(sum(users), sum(looked_at), min(moments), first)

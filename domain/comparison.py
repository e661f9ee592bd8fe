"""Whether two accounts mean the same, however each came to be: by a life in RAM, or by loading."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.account import Account
from domain.copies import replace
from domain.packs import Pack
from domain.recent_use import oldest_day, use_by_day
from domain.subscription import Subscription
from domain.values import Policy


class Difference(StrEnum):
    """How an account in RAM differs from the one that MongoDB gives. In order of telling."""

    MISSING_IN_RAM = "missing_in_ram"
    """RAM remembers a user without subscription and packs, and MongoDB has one."""
    MISSING_IN_DB = "missing_in_db"
    """RAM has a subscription or a pack that MongoDB has not."""
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Essence:
    """All of an account that a decision or a status can depend on, now or later."""

    seq: int
    subscriptions: tuple[Subscription, ...]
    packs: tuple[Pack, ...]
    payments: frozenset[str]
    recent_use: Mapping[int, int]
    """What the user used, by day (ordinal), as far back as an event may look."""


def essence(account: Account, now: datetime, policy: Policy) -> Essence:
    """Return what an account means at an instant.

    An account that was charged yesterday and not since holds yesterday, one loaded today holds
    the same day or none: both open the same today, so today is what is compared. The days of
    subscriptions that ended decide nothing, nor does one that ended before a newer one began.
    """
    started = [s for s in account.subscriptions if s.start <= now]
    matter = [s for s in account.subscriptions if s.end > now or s is started[-1]]
    return Essence(
        account.seq,
        tuple(_at(subscription, now, policy) for subscription in matter),
        tuple(pack for pack in (p.as_of(now) for p in account.packs) if pack.matters),
        account.past_transactions
        | {
            grant.transaction_id
            for subscription in account.subscriptions
            for grant in subscription.grants
            if grant.transaction_id is not None
        }
        | {pack.transaction_id for pack in account.packs if pack.transaction_id is not None},
        _recent_use(account, now),
    )


def _recent_use(account: Account, now: datetime) -> dict[int, int]:
    """Return the use of the last days, wherever an account happens to hold it."""
    oldest = oldest_day(now).toordinal()
    days = use_by_day(account.recent_use, account.subscriptions)
    return {day: used for day, used in days.items() if day >= oldest and used > 0}


def _at(subscription: Subscription, now: datetime, policy: Policy) -> Subscription:
    if subscription.end <= now:
        bare = replace(subscription, day=None, holds=(), earlier=(), seldom=None)
        return bare.in_zone(subscription.timezone, subscription.eras)
    known = subscription.keeping_from(None).as_of(now, policy.rollover_cap)
    return known.opened(known.day_at(known.today(now), policy.rollover_cap))


def difference(in_ram: Account, in_db: Account, now: datetime, policy: Policy) -> Difference | None:
    """Return how two accounts of one user differ at an instant; None where they mean the same."""
    ours, theirs = essence(in_ram, now, policy), essence(in_db, now, policy)
    if ours == theirs:
        return None
    our_ids, their_ids = _names(ours), _names(theirs)
    if their_ids and not our_ids:
        return Difference.MISSING_IN_RAM
    return Difference.MISSING_IN_DB if our_ids - their_ids else Difference.STALE


def _names(one: Essence) -> set[str]:
    subscriptions = {s.subscription_id for s in one.subscriptions}
    return subscriptions | {pack.pack_id for pack in one.packs}

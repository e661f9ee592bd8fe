"""Make a decision about a hold so. Nothing here can refuse."""

from domain.account import Account
from domain.charges import Opening
from domain.copies import replace
from domain.evolve_packs import freed as packs_freed
from domain.evolve_packs import held, spent, with_lapsed
from domain.holds import Hold, HoldFreed, HoldPlaced, HoldSettled
from domain.recent_use import with_use
from domain.subscription import Day, Subscription
from domain.told import Told
from domain.values import Credits


def evolve_hold(
    account: Account, change: HoldPlaced | HoldSettled | HoldFreed, told: Told
) -> Account:
    """Return the account after a hold was made, settled, released, or has expired.

    `told`: which events of the newest day were told with it.
    """
    match change:
        case HoldPlaced(opening=opening):
            account = held(account, change)
            if opening is None:
                return account
            return apply_openings(account, (opening,), Credits(0), told, placed=change.of_day)
        case HoldSettled(hold_id, usage, reopened, freed_packs=pack_ids):
            account = spent(packs_freed(account, pack_ids, hold_id), usage.packs)
            account = with_lapsed(account, change.lapsed)
            if usage.opening is None:
                return account
            openings = (usage.opening, *reopened)
            return apply_openings(account, openings, usage.day_amount, told, freed=hold_id)
        case HoldFreed(hold_id=hold_id, opening=opening, reopened=reopened):
            account = packs_freed(account, (share.pack_id for share in change.packs), hold_id)
            account = with_lapsed(account, change.lapsed)
            if opening is None:
                return account
            return apply_openings(account, (opening, *reopened), Credits(0), told, freed=hold_id)


def with_use_of_closed(account: Account, before: Day | None, newest: Day) -> Account:
    """Return the account with the use of a day that is its subscription's newest no longer."""
    if before is None or before.date == newest.date or before.used <= 0:
        return account
    return replace(account, recent_use=with_use(account.recent_use, [(before.date, before.used)]))


def apply_openings(
    account: Account,
    openings: tuple[Opening, ...],
    charged: Credits,
    told: Told,
    *,
    placed: Hold | None = None,
    freed: str | None = None,
) -> Account:
    """Charge the first of the days, or give back, and let the later ones inherit what they do now."""
    own = openings[0]
    subscription = account.find(own.subscription_id)
    if subscription is None:  # Another program has deleted it since.
        return account
    opened = subscription.opened(Day(own.date, own.rolled_over, Credits(0)))
    assert opened.day is not None, "it has just been opened"
    account = with_use_of_closed(account, subscription.day, opened.day)
    if own.date < opened.day.date and charged:
        used = with_use(account.recent_use, [(own.date, charged)])
        account = replace(account, recent_use=used)
    days = _days_after(opened, openings, charged, told)
    gone = freed if placed is None else placed.hold_id
    holds = [hold for hold in opened.holds if hold.hold_id != gone]
    if placed is not None:
        holds.append(placed)
    return account.with_subscription(opened.with_days(days, holds))


def _days_after(
    subscription: Subscription, openings: tuple[Opening, ...], charged: Credits, told: Told
) -> list[Day]:
    inherited = {opening.date: opening.rolled_over for opening in openings}
    own = openings[0].date
    days: list[Day] = []
    for day in subscription.touched:
        if day.date in inherited:
            used = Credits(day.used + charged) if day.date == own else day.used
            told_before, rolled_over = day.told.of_read, inherited[day.date]
            days.append(replace(day, rolled_over=rolled_over, used=used, told=told_before))
        else:
            days.append(day)
    if told:
        days[-1] = replace(days[-1], told=days[-1].told.then(told))
    return days

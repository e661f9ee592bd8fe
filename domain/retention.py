"""What accounts keep in RAM, and what they let go: documents and journal have it still."""

from datetime import datetime

from domain.account import Account, Extra
from domain.copies import replace
from domain.recent_use import forget_old, with_use


def keep_what_matters(account: Account, now: datetime) -> Account:
    """Return the account with at most one subscription that ended; its payments stay known.

    Packs of which nothing is left, and what was recalled for a correction, are let go.
    """
    account = _without_recalled(_without_old_use(account, now))
    ended = [s for s in account.subscriptions if s.end <= now]
    dropped = ended[:-1]
    if not dropped:
        return account
    transactions = {
        grant.transaction_id
        for subscription in dropped
        for grant in subscription.grants
        if grant.transaction_id is not None
    }
    return replace(
        account,
        subscriptions=tuple(s for s in account.subscriptions if s not in dropped),
        past_transactions=account.past_transactions | transactions,
        recent_use=forget_old(
            with_use(account.recent_use, [(s.day.date, s.day.used) for s in dropped if s.day]), now
        ),
    )


def _without_old_use(account: Account, now: datetime) -> Account:
    recent = forget_old(account.recent_use, now)
    return account if recent is account.recent_use else replace(account, recent_use=recent)


def _without_recalled(account: Account) -> Account:
    """Return the account without what no next decision asks for by itself."""
    for subscription in account.subscriptions:
        if subscription.seldom is not None and subscription.seldom.kept_from is not None:
            account = account.with_subscription(subscription.keeping_from(None))
    if account.extra is None:
        return account
    packs = tuple(pack for pack in account.packs if pack.matters)
    gone = {p.transaction_id for p in account.packs if not p.matters and p.transaction_id}
    return replace(
        account,
        extra=Extra(packs) if packs else None,
        past_transactions=account.past_transactions | gone,
    )

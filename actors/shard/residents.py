"""An account as a shard's RAM has it, be it looked into already or not."""

from datetime import datetime

from actors.protocol.store import JournalBrokenError
from actors.shard import broken_journals
from actors.shard.shard import Shard
from domain.account import Account
from domain.documents.recovery import Recovered, Stored
from domain.values import Policy, UserId


def account_in_ram(shard: Shard, user_id: UserId) -> Account | None:
    """Return an account, and leave it as it is; None: it is not there, or comes to none."""
    account = shard.accounts.get(user_id)
    if account is not None:
        return account
    stored = shard.accounts.dormant.peek(user_id)
    recovered = recovered_or_none(stored, shard.now(), shard.policy) if stored else None
    return recovered.account if recovered else None


def recovered_or_none(stored: Stored, now: datetime, policy: Policy) -> Recovered | None:
    """Return what is stored as an account; None: it comes to none, and the log names it."""
    try:
        return broken_journals.recover_or_name(stored, now, policy)
    except JournalBrokenError:
        return None

"""What commands speak of that accounts in RAM have let go, and that is read again for them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.account import Account
from domain.corrections import ReverseUsage
from domain.holds import ExpireHold, ReleaseHold, SettleHold
from domain.messages import ChangeSubscription, Command, ExpireSubscription
from domain.pack_messages import ExpirePack
from domain.stripe import VoidGrants
from domain.values import UserId


@dataclass(frozen=True, slots=True)
class Recalls:
    """What is read beside the whole account: charges and expired holds, by their ids."""

    usages: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()


NOTHING_BESIDE = Recalls()


def recalls(command: Command, account: Account | None) -> Recalls | None:
    """Return what a command speaks of that may have been let go; None: nothing.

    `account` is as it is in RAM; None: it is not there.
    """
    match command:
        case ReverseUsage(usage_id=usage_id):
            return Recalls(usages=frozenset({usage_id}))
        case SettleHold(hold_id=hold_id) | ReleaseHold(hold_id=hold_id):
            found = None if account is None else account.find_hold(hold_id)
            # Nothing but a settlement can follow an expiry.
            is_let_go = isinstance(command, SettleHold) if found is None else not found.is_whole
            # An account that is read may have what is left of a hold that was closed without it.
            is_let_go = is_let_go or account is None
            return Recalls(holds=frozenset({hold_id})) if is_let_go else None
        case ExpireHold(hold_id=hold_id, subscription_id=subscription_id):
            found = None if account is None else account.find_hold(hold_id)
            if found is not None and found.is_whole:
                return None if subscription_id is None else NOTHING_BESIDE
            return Recalls(holds=frozenset({hold_id}))
        case ChangeSubscription() | ExpireSubscription() | ExpirePack() | VoidGrants():
            return NOTHING_BESIDE
        case _:
            return None


def joined(many: Iterable[Recalls]) -> Recalls:
    """Return what all of these recall."""
    usages: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    for one in many:
        usages |= one.usages
        holds |= one.holds
    return Recalls(usages, holds)


def all_recalls(
    commands: Iterable[Command], accounts: Mapping[UserId, Account]
) -> dict[UserId, Recalls]:
    """Return what commands recall, by user; `accounts`: those in RAM."""
    found: dict[UserId, Recalls] = {}
    for command in commands:
        user_id = command.user_id
        one = recalls(command, accounts.get(user_id))
        if one is not None:
            found[user_id] = joined((found.get(user_id, NOTHING_BESIDE), one))
    return found

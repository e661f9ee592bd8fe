"""Make so what decisions do to packs, and to charges that are corrected. Nothing here can refuse."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from domain.account import NOTHING_MORE, Account
from domain.copies import replace
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.holds import HoldPlaced, LapsedHold
from domain.pack_messages import PackAdded, PackExpired, RefundedPack
from domain.packs import Pack
from domain.sources import PackShare
from domain.values import Credits

T = TypeVar("T")


def evolve_pack(account: Account, change: PackAdded | PackExpired) -> Account:
    """Return the account after a pack was added, or its expiry was written down."""
    match change:
        case PackAdded(pack=pack):
            return account if account.find_pack(pack.pack_id) else account.with_pack(pack)
        case PackExpired(pack_id=pack_id, expires_at=expires_at):
            known = account.find_pack(pack_id)
            return account.with_pack(replace(known, expired_at=expires_at)) if known else account


def spent(account: Account, shares: Iterable[PackShare]) -> Account:
    """Return the account after packs gave their shares of a charge."""
    return _each(account, _amounts(shares), _with_used)


def given_back(account: Account, change: UsageReversed) -> Account:
    """Return the account after packs, and the charge, count as used no longer."""
    less = {share.pack_id: -share.credit_amount for share in change.packs}
    account = _each(account, less, _with_used)
    if account.extra is None:
        return account
    charges = tuple(
        replace(charge, reversed_credits=change.reversed_credits)
        if charge.usage_id == change.usage_id
        else charge
        for charge in account.extra.charges
    )
    return account.with_extra(replace(account.extra, charges=charges))


def adjusted(account: Account, change: CreditsAdjusted) -> Account:
    """Return the account after an adjustment of its packs."""
    if change.added is not None and account.find_pack(change.added.pack_id) is None:
        account = account.with_pack(change.added)
    return _each(account, _amounts(change.packs), _with_less)


def refunded(account: Account, refunds: Iterable[RefundedPack]) -> Account:
    """Return the account after refunds of its packs, or after what of them came back."""
    return _each(account, {one.pack_id: one for one in refunds}, _with_refund)


def held(account: Account, change: HoldPlaced) -> Account:
    """Return the account after packs set their shares of a hold aside."""
    return _each(account, dict(change.of_packs()), Pack.with_hold)


def freed(account: Account, pack_ids: Iterable[str], hold_id: str) -> Account:
    """Return the account after packs set nothing aside for a hold any more."""
    return _each(account, dict.fromkeys(pack_ids, hold_id), Pack.without_hold)


def with_lapsed(account: Account, lapsed: LapsedHold | None) -> Account:
    """Return the account with a hold that can be settled late, or is closed."""
    if lapsed is None:
        return account
    extra = account.extra or NOTHING_MORE
    others = (one for one in extra.lapsed_holds if one.hold.hold_id != lapsed.hold.hold_id)
    return account.with_extra(replace(extra, lapsed_holds=(*others, lapsed)))


def settled_late(account: Account, hold_id: str) -> Account:
    """Return the account after a hold was settled late: it is closed."""
    lapsed = account.find_lapsed_hold(hold_id)
    return account if lapsed is None else with_lapsed(account, replace(lapsed, is_closed=True))


def _amounts(shares: Iterable[PackShare]) -> dict[str, int]:
    return {share.pack_id: share.credit_amount for share in shares}


def _each(account: Account, by_id: Mapping[str, T], change: Callable[[Pack, T], Pack]) -> Account:
    """Return the account after some packs changed, each by its own; others may be deleted since."""
    if not by_id:
        return account
    return account.with_packs(
        change(pack, by_id[pack.pack_id]) if pack.pack_id in by_id else pack
        for pack in account.packs
    )


def _with_used(pack: Pack, amount: int) -> Pack:
    return replace(pack, used=Credits(pack.used + amount))


def _with_less(pack: Pack, amount: int) -> Pack:
    return replace(
        pack,
        spendable=Credits(pack.spendable - amount),
        taken_back=Credits(pack.taken_back + amount),
    )


def _with_refund(pack: Pack, one: RefundedPack) -> Pack:
    return replace(
        pack,
        spendable=Credits(pack.spendable - one.credit_amount),
        refunded=Credits(pack.refunded + one.credit_amount),
        share_version=max(pack.share_version, one.version),
    )

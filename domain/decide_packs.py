"""Decide what becomes of packs but by charges and holds: they are added, refunded, and expire."""

from datetime import datetime

from domain.account import Account
from domain.credit import Asking
from domain.grants import split
from domain.messages import Refusal, Rejection
from domain.pack_messages import AddPack, ExpirePack, PackAdded, PackExpired, RefundedPack
from domain.packs import Pack
from domain.stripe import VoidGrants
from domain.values import Credits, derive_owned_id


def add_pack(account: Account, command: AddPack, asking: Asking) -> PackAdded | Refusal:
    """Return the new pack, or why it is refused. The account is as of now."""
    now, paid_to_stripe = asking.now, command.paid_to_stripe
    if not paid_to_stripe and command.expires_at is not None and command.expires_at <= now:
        return Refusal(Rejection.EXPIRY_NOT_IN_FUTURE)
    if account.has_payment(command.payment.transaction_id):
        return Refusal(Rejection.DUPLICATE_PAYMENT)
    if not account.has_room_for(command.amount, though_full=paid_to_stripe):
        return Refusal(Rejection.AMOUNT_TOO_LARGE)
    # After this point the pack must be added.
    system_portion = split(command.amount, asking.policy.system_portion_bps)
    pack = Pack(
        derive_owned_id(now, "pack", account.user_id, asking.key),
        Credits(command.amount - system_portion),
        command.priority,
        command.category,
        now,
        command.expires_at,
        transaction_id=command.payment.transaction_id,
    )
    return PackAdded(pack, command.amount, system_portion, command.payment)


def expire_pack(account: Account, command: ExpirePack, now: datetime) -> PackExpired | Refusal:
    """Return what has lapsed of a pack. The account is the whole one, as of now."""
    pack = account.find_pack(command.pack_id)
    if pack is None:
        return Refusal(Rejection.NO_SUCH_PACK)
    if pack.expires_at is None or pack.is_live(now) or pack.is_expiry_written:
        return Refusal(Rejection.NOT_ENDED)
    return PackExpired(pack.pack_id, pack.expires_at, pack.left)


def refund(pack: Pack, command: VoidGrants, now: datetime) -> RefundedPack | None:
    """Return what a share of its payment makes of a pack; None: nothing is new, or it is over."""
    if command.version <= pack.share_version or not pack.is_live(now):
        return None
    amount = pack.refunded_by(command.kept, command.parts) - pack.refunded
    return RefundedPack(pack.pack_id, Credits(amount), command.version)

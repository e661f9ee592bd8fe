"""What a shard is told of a Stripe record, under which keys, and what its replies mean."""

from collections.abc import Sequence
from dataclasses import replace

from actors.protocol.calls import Outcome, Reply
from actors.protocol.errors import UnavailableError
from actors.stripe.records import Grantable, StripeRecord
from domain.messages import AddCredit, Command, GrantFromStripe, Rejection
from domain.pack_messages import AddPack
from domain.packs import PRIORITY_DEFAULT
from domain.payments import Payment
from domain.stripe import ApplyStripeState, VoidGrants
from domain.values import Credits, UserId

METHOD = "stripe"


class CannotBeAppliedError(Exception):
    """A repeat would come to the same."""


def commands_of(record: StripeRecord, touched: Sequence[str]) -> list[tuple[Command, str]]:
    """Return what a shard is told of a record, with keys: payments, state, refunds."""
    assert record.user_id is not None, "the user is known before anything is told"
    user_id, commands = record.user_id, list[tuple[Command, str]]()
    payments = [payment for payment in dict.fromkeys(touched) if payment in record.payments]
    for payment in payments:
        for paid in record.payments[payment]:
            command = _grant(user_id, record.subject, paid)
            commands.append((command, f"stripe {paid.transaction_id}"))
    if record.state is not None:
        commands.append((_state(user_id, record), _state_key(record)))
    for payment in payments:
        if payment in record.refunds:
            kept, parts = record.refunds[payment]
            version = record.shared_at.get(payment, record.revision)
            key = f"stripe refund {payment} {kept} of {parts} at {version}"
            commands.append((VoidGrants(user_id, payment, kept, parts, version), key))
    return commands


def states_again(
    living: Sequence[StripeRecord], user_id: UserId, ended: StripeRecord
) -> list[tuple[Command, str]]:
    """Return what a shard is told, with keys, of the others that live when one has ended.

    An account knows of one Stripe subscription at a time; it knows no other that it could follow.
    """
    because = f"after {ended.subject} {ended.revision}"
    return [(_state(user_id, one), f"{_state_key(one)} {because}") for one in living]


def _state(user_id: UserId, record: StripeRecord) -> ApplyStripeState:
    assert record.state is not None, "something is known of it"
    return ApplyStripeState(user_id, replace(record.state, version=record.revision))


def _state_key(record: StripeRecord) -> str:
    return f"stripe state {record.subject} {record.revision}"


def _grant(user_id: UserId, subject: str, paid: Grantable) -> Command:
    payment = Payment(METHOD, paid.transaction_id, paid.amount, paid.currency)
    amount = Credits(paid.credits)
    if paid.period_start is not None and paid.period_end is not None:
        return GrantFromStripe(
            user_id, amount, paid.period_start, paid.period_end, payment, subject
        )
    if paid.days is not None:
        return AddCredit(user_id, amount, paid.days, payment, paid_to_stripe=True)
    priority = PRIORITY_DEFAULT if paid.priority is None else paid.priority
    return AddPack(user_id, amount, payment, paid.expires_at, priority, paid_to_stripe=True)


def check(reply: Reply) -> None:
    """Raise what a reply says, where it says that nothing was done."""
    if reply.outcome is Outcome.DONE:
        return
    if reply.outcome is not Outcome.REFUSED or reply.refusal is None:
        raise UnavailableError
    if reply.refusal.reason in (Rejection.DUPLICATE_PAYMENT, Rejection.NO_SUCH_GRANT):
        return  # It was granted before; or it was never granted, so nothing is to be voided.
    raise CannotBeAppliedError(f"the account refuses it: {reply.refusal.reason}")

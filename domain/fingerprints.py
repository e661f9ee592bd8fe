"""What an idempotency key is held to: a digest of all that its command says.

The digest is of a canonical form: the command's name and its fields as JSON, in the order of their
names, without those that are None or at their default. So a field that a later version adds
changes no digest of a command that does not use it, and a repeat gets its first answer across an
upgrade. The digests of `tests/domain/test_fingerprints.py` hold the form: a field or command that
is renamed must keep them.
"""

import hashlib
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from domain.charges import OnInsufficient
from domain.copies import replace
from domain.holds import SettleHold
from domain.messages import AddCredit, Command


def fingerprint(command: Command) -> str:
    """Return the digest of a command: 32 hex digits."""
    return _digest(_canonical(command))


def is_fingerprint_of(stored: str, command: Command, digest: str) -> bool:
    """Say whether an entry's fingerprint is this command's; `digest` is `fingerprint(command)`.

    Entries of before the canonical form are held to theirs: a key's first answer is its only one
    for as long as its entry lives.
    """
    if stored == digest:
        return True
    if isinstance(command, AddCredit) and command.paid_to_stripe:  # Once it did not say so.
        command = replace(command, paid_to_stripe=False)
        return is_fingerprint_of(stored, command, fingerprint(command))
    before = _digest(_repr_of_before(_with_rule_of_before(command)).encode())
    return stored == before or (_rejects(command) and stored == _without_rule(command))


def _with_rule_of_before(command: Command) -> Command:
    """Return a settlement by the rule that its default was once: it may have been told none."""
    if isinstance(command, SettleHold) and command.on_insufficient is OnInsufficient.CAP:
        return replace(command, on_insufficient=OnInsufficient.REJECT)
    return command


def _rejects(command: Command) -> bool:
    """Say whether a settlement names the rule that was its default once, and stood in no digest."""
    return isinstance(command, SettleHold) and command.on_insufficient is OnInsufficient.REJECT


def _without_rule(command: Command) -> str:
    said = {name: value for name, value in _plain(command).items() if name != "on_insufficient"}
    return _digest(_JSON.dump_json([type(command).__name__, said]))


def canonical(command: Command) -> str:
    """Return the canonical form, as text."""
    return _canonical(command).decode()


def _canonical(command: Command) -> bytes:
    return _JSON.dump_json([type(command).__name__, _plain(command)])


def _digest(form: bytes) -> str:
    return hashlib.blake2b(form, digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    """Return what JSON can say of a command, or of what one holds."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    if not is_dataclass(value):
        return value
    said: dict[str, object] = {}
    for name, default in _fields(value.__class__):  # A loop: every charge comes through here.
        held = getattr(value, name)
        if held is not None and held != default:
            said[name] = held if type(held) in _PLAIN else _plain(held)
    return said


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, object], ...]:
    """Return names, in order, and defaults; what has no default equals nothing."""
    return tuple(sorted((field.name, field.default) for field in fields(kind)))


_PLAIN = frozenset({str, int})
_JSON: TypeAdapter[list[Any]] = TypeAdapter(list[Any])


# --- the form of before -------------------------------------------------------------------

_FIELDS_OF_BEFORE = {
    "AddCredit": "user_id amount days payment timezone",
    "ApplyStripeState": "user_id link",
    "ChangeSubscription": "user_id subscription_id status end_date",
    "ExpireHold": "user_id hold_id subscription_id",
    "ExpireSubscription": "user_id subscription_id",
    "GrantFromStripe": "user_id amount period_start period_end payment stripe_subscription_id",
    "OpenDay": "user_id",
    "Payment": "method transaction_id amount currency",
    "PlaceHold": "user_id service_type credit_amount expires_in token_count model_used session_id"
    " details timestamp on_insufficient",
    "RecordUsage": "user_id service_type credit_amount token_count model_used session_id details"
    " timestamp on_insufficient",
    "ReleaseHold": "user_id hold_id",
    "SettleHold": "user_id hold_id credit_amount token_count model_used details on_insufficient",
    "StripeItem": "price_id quantity",
    "StripeLink": "subscription_id customer_id status created period_end cancel_at ended_at items"
    " version extends_to",
    "VoidGrants": "user_id transaction_id kept parts",
}
"""What commands had while their `repr` was digested. A field added since is part of none, unless it is told."""


def _repr_of_before(value: Any) -> str:
    if isinstance(value, tuple):
        members = "".join(f"{_repr_of_before(member)}, " for member in value)
        return f"({members.removesuffix(' ' if len(value) == 1 else ', ')})"
    if not is_dataclass(value):
        return repr(value)
    kind = type(value).__name__
    names = dict.fromkeys(_FIELDS_OF_BEFORE.get(kind, "").split()) | _plain(value)
    held = ", ".join(f"{name}={_repr_of_before(getattr(value, name))}" for name in names)
    return f"{kind}({held})"

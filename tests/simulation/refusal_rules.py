"""Why a command must be refused, by the books; a refusal that is entered is held to that."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.simulation.books import Book, Rules, require
from tests.simulation.entry_checks import Said
from tests.simulation.funds import Given, funds_of, take
from tests.simulation.hold_rules import settled_from
from tests.simulation.pack_books import Pack
from tests.simulation.pack_rules import taken_by, wanted_by
from tests.simulation.subscription_books import CURRENT, Subscription


def refuse(book: Book, entry: Any, commands: Sequence[Said], rules: Rules) -> None:
    """Check that the reason is true, and what it says of credits. A refusal changes nothing."""
    refusal = entry.change.refusal
    short = refusal.shortfall
    seen = None
    if short is not None:
        seen = (
            str(short.limit),
            short.remaining_credits,
            short.required_credits,
            short.available_at,
        )
    dues = [refusal_of(book, c, entry, rules) for c in commands]
    reasons = [due.refusal for due in dues]
    require(refusal.reason in reasons, "refused without reason", entry=entry, book=book, due=dues)
    due = [d.shortfall for d in dues if d.refusal == refusal.reason]
    if str(refusal.reason) != "no_active_subscription" or seen is not None:
        require(seen in due, "a refusal's numbers", entry=entry, due=due)


def refusal_of(book: Book, said: Said, entry: Any, rules: Rules) -> Given:
    """Return why a command must be refused, with what is missing; an empty reason: it must not."""
    if said["does"] in ("settle", "release", "use", "hold"):
        return _refusal_of_a_charge(book, said, entry, rules)
    if said["does"] == "adjust" and not _is_over(said, entry.at):
        funds = funds_of(book, entry.at, rules, though_paused=True)
        return taken_by(said, funds, rules) if wanted_by(said, funds) < 0 else Given()
    if said["does"] == "open" and book.current(entry.at) is None:
        return Given(refusal="no_active_subscription", shortfall=("subscription", 0, 0, None))
    return Given(refusal=_reason(book, said, entry.at))


def _reason(book: Book, said: Said, at: datetime) -> str:
    """Return why a command must be refused that takes no credits."""
    match said["does"]:
        case "add" | "add pack" | "adjust":
            if _is_over(said, at):
                return "expiry_not_in_future"
            return "duplicate_payment" if said["transaction"] in book.payments else ""
        case "reverse":
            return _refusal_of_a_reversal(book, said)
        case "change" | "expire":
            return _refusal_of_a_change(book.find(said["subscription_id"]), said, at)
        case "expire pack":
            return _refusal_of_an_expiry(book.packs.get(said["pack"]), at)
        case _:
            return ""


def _refusal_of_an_expiry(pack: Pack | None, at: datetime) -> str:
    if pack is None:
        return "no_such_pack"
    is_due = pack.expires_at is not None and pack.expires_at <= at
    return "" if is_due and pack.expired_at is None else "not_ended"


def _is_over(said: Said, at: datetime) -> bool:
    """Say whether what is to be added is over before it begins."""
    expires_at = said.get("expires_at")
    return expires_at is not None and expires_at <= at


def _refusal_of_a_charge(book: Book, said: Said, entry: Any, rules: Rules) -> Given:
    does, at = said["does"], entry.at
    if does in ("settle", "release"):
        held = book.open_hold(said["hold"], at)
        if held is not None:
            return Given() if does == "release" else settled_from(book, held, said, entry, rules)
        until = book.lapsed.get(said["hold"])
        if does == "release" or until is None or at >= until:
            return Given(refusal="hold_closed")
    funds = funds_of(book, at, rules)
    if does == "hold" and not funds.are_none and book.holds_open(at) >= rules.holds_max:
        return Given(refusal="too_many_holds")
    return take(funds, said["amount"], said["rule"], rules, said.get("at_least"))


def _refusal_of_a_reversal(book: Book, said: Said) -> str:
    charged = book.charges.get(said["usage"])
    if charged is None:
        return "no_such_usage"
    left = charged.amount - charged.reversed
    if left <= 0:
        return "already_reversed"
    return "more_than_charged" if said["amount"] is not None and said["amount"] > left else ""


def _refusal_of_a_change(subscription: Subscription | None, said: Said, at: datetime) -> str:
    if subscription is None:
        return "no_such_subscription"
    if said["does"] == "expire":
        over = subscription.end <= at and subscription.status in CURRENT
        return "" if over else "not_ended"
    early = said["end"] is not None and said["end"] <= subscription.start
    return "end_not_after_start" if early else ""

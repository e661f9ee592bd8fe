"""Events that say what an entry did: a pack that expired, a charge reversed, a balance adjusted."""

from collections.abc import Iterator

from domain.corrections import CreditsAdjusted, UsageReversed
from domain.events import Event, EventType, iso_text, to_text
from domain.messages import Entry
from domain.pack_messages import PackExpired
from domain.sources import PackShare


def correction_events(entry: Entry) -> Iterator[Event]:
    """Yield the event of an entry that is one by itself."""
    match entry.change:
        case PackExpired(lapsed_credits=0):  # Nothing of it was left to lapse.
            return
        case PackExpired():
            yield Event(EventType.PACK_EXPIRED, None, _expired(entry.change))
        case UsageReversed():
            name = entry.change.subscription_id
            yield Event(EventType.REVERSED, name, _reversed(entry.change))
        case CreditsAdjusted(opening=opening):
            name = None if opening is None else opening.subscription_id
            yield Event(EventType.ADJUSTED, name, _adjusted(entry.change))
        case _:
            return


def _expired(change: PackExpired) -> str:
    return to_text(
        {
            "pack_id": change.pack_id,
            "expires_at": iso_text(change.expires_at),
            "lapsed_credits": change.lapsed_credits,
        }
    )


def _reversed(change: UsageReversed) -> str:
    return to_text(
        {
            "reversal_id": change.reversal_id,
            "usage_id": change.usage_id,
            "credit_amount": change.credit_amount,
            "returned_credits": change.returned_credits,
            "lapsed_credits": change.lapsed_credits,
            "reversed_credits": change.reversed_credits,
            "reason": change.reason,
        }
    )


def _adjusted(change: CreditsAdjusted) -> str:
    return to_text(
        {
            "adjustment_id": change.adjustment_id,
            "credit_amount": change.credit_amount,
            "reason": change.reason,
            "pack_id": None if change.added is None else change.added.pack_id,
            "day_credits": change.day_amount,
            "packs": [_share(share) for share in change.packs],
        }
    )


def _share(share: PackShare) -> dict[str, object]:
    return {"pack_id": share.pack_id, "credit_amount": share.credit_amount}

"""Which of several states of a Stripe subscription counts. Pure: no clock, no Stripe.

Newer than what is known: it counts. Older: it does not. Of the same second, or near a moment
at which we asked by our own clock: nobody can tell, so Stripe is asked. Final states are final.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from actors.stripe.records import StripeRecord
from domain.stripe import StripeLink

CLOCKS_APART_SECONDS = 60  # How far our clock and Stripe's may differ.


class Verdict(Enum):
    """What is to be done where no told state counts."""

    KEEP = auto()
    ASK = auto()


@dataclass(frozen=True, slots=True)
class ToldState:
    """A state that an event told."""

    created: int
    event_id: str
    """The event's, after what orders the kinds of events of one second."""
    state: StripeLink


def choose(record: StripeRecord, told: Sequence[ToldState]) -> ToldState | Verdict:
    """Return the state that counts among those told, or what to do instead."""
    if not told or (record.state is not None and record.state.is_ended):
        return Verdict.KEEP
    ended = [one for one in told if one.state.is_ended]
    if ended:  # It never goes on after that, whatever else came in the same second.
        return max(ended, key=lambda one: (one.created, one.event_id))
    newest = max(one.created for one in told)
    latest = [one for one in told if one.created == newest]
    if newest > record.stamp:
        return latest[0] if _agree(latest) else Verdict.ASK
    if newest == record.stamp and not record.asked:
        known = record.state is not None and all(_same(one.state, record.state) for one in latest)
        return Verdict.KEEP if known else Verdict.ASK
    near = record.asked and newest >= record.stamp - CLOCKS_APART_SECONDS
    return Verdict.ASK if near else Verdict.KEEP


def last_resort(told: Sequence[ToldState]) -> ToldState:
    """Return the state that counts where Stripe does not know the subscription any more."""
    return max(told, key=lambda one: (one.state.is_ended, one.created, one.event_id))


def _agree(told: Sequence[ToldState]) -> bool:
    return all(_same(one.state, told[0].state) for one in told)


def _same(one: StripeLink, other: StripeLink) -> bool:
    return replace(one, version=0) == replace(other, version=0)

"""What a shard counts about itself. Ray's metrics are made of these in one place."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.protocol.calls import Outcome, Reply
from domain.messages import Change, Entry, charge_in


@dataclass(slots=True)
class Counters:
    """Sums since the shard started, but for those that metrics show as levels."""

    users: int = 0
    queued: int = 0
    lagging_entries: int = 0
    reads: int = 0
    writes: int = 0
    hits: int = 0
    misses: int = 0
    refusals: int = 0
    charges: int = 0
    """Charges that were written, settled holds among them."""
    credits_charged: int = 0
    """What they took; a reversal takes nothing off."""
    repeats: int = 0
    overloaded: int = 0
    evictions: int = 0
    quarantined: int = 0
    journal_gaps: int = 0
    """Reads of accounts that were refused because entries are missing or unreadable."""
    views_refused: int = 0
    appends: int = 0
    appended_entries: int = 0
    append_seconds: float = 0.0
    append_conflicts: int = 0
    appends_in_doubt: int = 0
    followed: int = 0
    """Accounts forgotten because another program changed them."""
    resyncs: int = 0
    """How often everything was forgotten because changes were missed."""
    stale: int = 0
    """1 while changes are not heard of and every call reads through."""
    dormant: int = 0
    """Accounts in RAM as the database sent them, waiting for their first use."""
    warming: int = 0
    """1 while RAM is being filled from MongoDB."""
    warmed: int = 0
    """Accounts that were put into RAM before anybody asked for them."""
    read_throughs: int = 0
    """Resident accounts that were read again because RAM was stale."""

    holds_open: int = 0
    """Holds of resident accounts that nothing resolved."""
    credits_held: int = 0
    oldest_hold_seconds: float = 0.0
    """The age of the oldest of them."""
    holds_expired: int = 0
    """Holds that were over and were given back without any request."""

    def note_append(self, entries: int, seconds: float) -> None:
        """Count an append and how long it took."""
        self.appends += 1
        self.appended_entries += entries
        self.append_seconds += seconds

    def note_failed_append(self, *, in_doubt: bool) -> None:
        """Count an append that was refused, or whose outcome is unknown."""
        self.appends_in_doubt += in_doubt
        self.append_conflicts += not in_doubt

    def note_landed(self, entries: Sequence[Entry]) -> None:
        """Count what is durable of an append that failed."""
        self.appended_entries += len(entries)
        for entry in entries:
            self.note_change(entry.change)

    def note_change(self, change: Change) -> None:
        """Count a change that is durable, where it is a charge."""
        charge = charge_in(change)
        if charge is not None:
            self.charges += 1
            self.credits_charged += charge.credit_amount

    def note_reply(self, reply: Reply) -> None:
        """Count a reply that is special."""
        self.refusals += reply.outcome is Outcome.REFUSED
        self.repeats += reply.replayed


@dataclass(slots=True)
class SyncCounters:
    """What the synchronisation counts; `lag_seconds` is a level."""

    events_applied: int = 0
    """Changes of other programs that the shards were told of."""
    resumes: int = 0
    """How often the stream was taken up where it had ended."""
    resyncs: int = 0
    """How often it could not be, and everything was read again."""
    quarantined: int = 0
    """Changes of which nobody could be told: the document names no user."""
    lag_seconds: float = 0.0


@dataclass(slots=True)
class StripeCounters:
    """What is counted of Stripe's events, by the actor that applies them.

    `fresh`, `found`, `parked` and `dead_letters` are levels: events that are not applied.
    """

    fresh: int = 0
    found: int = 0
    """Found by a comparison with Stripe."""
    parked: int = 0
    """Their user is not known yet."""
    dead_letters: int = 0
    applied: int = 0
    put_off: int = 0
    """Events that could not be applied, and will be tried again."""
    dead: int = 0
    strange_versions: int = 0
    """Events of a version of Stripe's that nobody has tried: create the endpoint with another."""


@dataclass(slots=True)
class EventCounters:
    """What is counted of one handler of events; `undelivered` and `down` are levels."""

    undelivered: int = 0
    delivered: int = 0
    failures: int = 0
    dead: int = 0
    down: int = 0
    """1 while the handler has failed so often in a row that it is only probed."""


@dataclass(slots=True)
class OperationCounters:
    """What a replica counts of one hot operation, which Serve does not see."""

    requests: int = 0
    refused: int = 0
    """Requests answered with 4xx."""
    failed: int = 0
    """Requests answered with 5xx."""
    seconds: float = 0.0
    """From the whole head of a request until its answer begins, summed up."""

    def note(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self.requests += 1
        self.refused += 400 <= status < 500
        self.failed += status >= 500
        self.seconds += seconds

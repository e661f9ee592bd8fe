"""Accounts whose journal is broken: they are refused and named, and others do not wait for them.

An entry may be missing, or unreadable: changed by hand, or written by a newer version than this.
Or what is stored comes to no account. Nothing is decided on a guess.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from actors.protocol.calls import UNAVAILABLE, Call
from actors.protocol.store import FENCED, JournalBrokenError
from actors.runtime.counters import Counters
from actors.shard.accounts import Accounts
from actors.shard.idempotency import CommandName
from actors.shard.inbox import Batch, Work
from domain.documents.journal import SpoiltEntry, command_id
from domain.documents.recovery import Recovered, Stored, recover
from domain.messages import CommandRefused, Entry
from domain.recalls import Recalls
from domain.values import Policy, UserId

LOOK_AGAIN_SECONDS = 1.0  # What was found broken is refused so long without another look at it.
KNOWN_MAX = 10_000  # Beyond, those found first are looked at again sooner.

logger = logging.getLogger(__name__)


class BrokenJournals:
    """What of a shard's users is broken, and what becomes of calls that meet it.

    What was found a moment ago is refused without another look: each is a wait for all whose calls
    came with it, and callers repeat such calls.
    """

    def __init__(
        self, shard: str, accounts: Accounts, counters: Counters, monotonic: Callable[[], float]
    ) -> None:
        self._shard = shard
        self._accounts = accounts
        self._counters = counters
        self._monotonic = monotonic
        self._known_until: dict[UserId | CommandName, float] = {}

    def covers(self, user_id: UserId, call: Call | None) -> bool:
        """Say whether a call, or a read (None), would meet what was found a moment ago."""
        return bool(self._known_until) and (
            self._knows(user_id) or (call is not None and self._knows((user_id, call.key)))
        )

    def set_apart(self, batch: Batch, broken: Mapping[UserId, str]) -> Batch:
        """Refuse the calls for accounts that are broken, and return the others.

        Those are read again at a call after LOOK_AGAIN_SECONDS; at the next one, where a newer
        incarnation has taken over.
        """
        warn_of_broken(self._shard, broken)
        gaps = [user_id for user_id, why in broken.items() if why != FENCED]
        self._counters.journal_gaps += len(gaps)
        self.note(gaps)
        self._accounts.filling.leave_out(broken)
        self._accounts.broken.update(broken)
        for work in batch:
            if work.user_id in broken:
                work.answer(UNAVAILABLE)
        return [work for work in batch if work.user_id not in broken]

    def answered_past_spoilt(
        self, batch: Batch, landed: Iterable[Entry | SpoiltEntry]
    ) -> list[Work]:
        """Refuse the calls whose first answer cannot be read, and return the others."""
        spoilt = {_command_of(entry): entry for entry in landed if has_lost_its_answer(entry)}
        rest: list[Work] = []
        for work in batch:
            entry = spoilt.get(command_id(work.user_id, work.call.key)) if work.call else None
            if entry is None or work.call is None:
                rest.append(work)
                continue
            self.note([(work.user_id, work.call.key)])
            why = entry.reason if isinstance(entry, SpoiltEntry) else "its answer is none"
            logger.error(
                "%s: entry %d of %s has an answer that cannot be given again: %s",
                self._shard,
                entry.seq,
                entry.user_id,
                why,
            )
            work.answer(UNAVAILABLE)
        return rest

    def note(self, names: Iterable[UserId | CommandName]) -> None:
        """Note what was found broken now: users, or commands."""
        until = self._monotonic() + LOOK_AGAIN_SECONDS
        for name in names:
            self._known_until.pop(name, None)
            self._known_until[name] = until
        while len(self._known_until) > KNOWN_MAX:
            del self._known_until[next(iter(self._known_until))]

    def _knows(self, name: UserId | CommandName) -> bool:
        until = self._known_until.get(name)
        if until is not None and self._monotonic() >= until:
            del self._known_until[name]
            return False
        return until is not None


def load_past(
    shard: str, load: Callable[[Sequence[UserId]], list[Stored]], user_ids: Sequence[UserId]
) -> list[Stored]:
    """Load what can be, and name the rest. Blocks; may raise StorageUnavailableError."""
    while True:
        try:
            return load(user_ids)
        except JournalBrokenError as error:
            warn_of_broken(shard, error.broken)
            user_ids = [user_id for user_id in user_ids if user_id not in error.broken]


def recover_or_name(
    stored: Stored, now: datetime, policy: Policy, recalls: Recalls | None = None
) -> Recovered:
    """Return the account; where something is recalled, with every subscription there was.

    JournalBrokenError: what is stored comes to no account. That is its user's matter alone.
    """
    try:
        return recover(stored, now, policy, recalls)
    except Exception as error:
        logger.exception("what is stored of %s comes to no account", stored.user_id)
        why = f"what is stored comes to no account: {type(error).__name__}"
        raise JournalBrokenError({stored.user_id: why}) from error


def has_lost_its_answer(entry: Entry | SpoiltEntry) -> bool:
    """Say whether nobody can tell what the caller of an entry was answered."""
    if isinstance(entry, SpoiltEntry):
        return None in (entry.answer, entry.fingerprint, entry.key)
    return entry.answer is None and not isinstance(entry.change, CommandRefused)


def _command_of(entry: Entry | SpoiltEntry) -> str:
    if isinstance(entry, SpoiltEntry):
        return entry.command_id
    return command_id(entry.user_id, entry.key)


def warn_of_broken(shard: str, broken: Mapping[UserId, str]) -> None:
    """Name the accounts, and what is wrong."""
    for user_id, why in broken.items():
        if why == FENCED:
            continue
        logger.error(
            "%s: the journal of %s is broken: %s. Nothing is decided about this account until it is"
            " mended",
            shard,
            user_id,
            why,
        )

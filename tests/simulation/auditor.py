"""Watches everything that becomes durable and everything that is answered, and objects.

What can be checked at once is checked at once: every entry when it lands, every view when it is
written, every answer when it arrives. `foreign` users are those whose documents other programs
edit: their decisions depend on when an edit was heard of, so they are held to less until all
rests.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.simulation.books import (
    Book,
    Rules,
    differences,
    read_status,
    require,
    status,
)
from tests.simulation.database import SimulatedStore
from tests.simulation.entry_checks import Said
from tests.simulation.journal_rules import enter, is_of
from tests.simulation.packs_audit import audit_charges
from tests.simulation.views_audit import audit_views, book_of_documents

KINDS = {
    "PackAdded": "packs",
    "PackExpired": "expired packs",
    "UsageReversed": "reversals",
    "CreditsAdjusted": "adjustments",
    "CommandRefused": "kept refusals",
}


@dataclass(frozen=True)
class Sent:
    """A command as a client sent it."""

    user_id: str
    key: str
    said: tuple[tuple[str, Any], ...]

    @property
    def fields(self) -> Said:
        return dict(self.said)


class Auditor:
    """Keeps books of its own. Raises BrokenPromiseError."""

    def __init__(self, rules: Rules, is_stray: Callable[[], bool]) -> None:
        """`is_stray` says whether what lands now comes from somebody who is not the owner."""
        self.rules = rules
        self.foreign: set[str] = set()
        self.deltas: dict[tuple[str, Any], int | None] = {}
        """What others added to a day's use; None where they deleted the day."""
        self.astray: dict[str, int] = {}
        """Users of whom an entry landed behind the owner's back: RAM may lack it."""
        self.entries = 0
        self.kinds = Counter[str]()
        """Of entries."""
        self.replies = 0
        self.reads = 0
        self._is_stray = is_stray
        self._books: dict[str, list[Book]] = {}
        self._journal: dict[str, list[Any]] = {}
        self._by_key: dict[tuple[str, str], Any] = {}
        self._commands: dict[tuple[str, str], list[Said]] = {}
        self._answers: dict[Sent, object] = {}
        self._refused: set[Sent] = set()
        self._acknowledged: dict[str, int] = {}
        self._store: SimulatedStore | None = None

    def watch(self, store: SimulatedStore) -> None:
        self._store = store

    @property
    def users(self) -> list[str]:
        """Everybody of whom something is durable."""
        return list(self._journal)

    def book(self, user_id: str) -> Book:
        return self._history(user_id)[-1]

    def subscription_ids(self, user_id: str) -> list[str]:
        """Return what operators know to change: everything the user bought."""
        return [
            entry.change.opening.subscription_id
            for entry in self._journal.get(user_id, [])
            if type(entry.change).__name__ == "CreditsAdded" and entry.change.created
        ]

    def holds(self, user_id: str) -> list[str]:
        """Return the holds there ever were, open or not: anybody may try to resolve them."""
        changes = [entry.change for entry in self._journal.get(user_id, [])]
        return [c.hold.hold_id for c in changes if type(c).__name__ == "HoldPlaced"]

    def usages(self, user_id: str) -> list[str]:
        """Return the charges there ever were, by their ids."""
        changes = [entry.change for entry in self._journal.get(user_id, [])]
        found = [getattr(change, "usage", change) for change in changes]
        return [c.usage_id for c in found if type(c).__name__ == "UsageRecorded"]

    def fate_of(self, user_id: str, hold_id: str) -> list[str]:
        """Return what became of a hold: `settled`, `released`, `expired`, `late`."""
        entries = self._journal.get(user_id, [])
        fates = [_fate_in(entry.change, hold_id) for entry in entries]
        return [fate for fate in fates if fate]

    def _history(self, user_id: str) -> list[Book]:
        return self._books.setdefault(user_id, [Book(user_id)])

    # --- what becomes durable -----------------------------------------------------------

    def landed(self, entries: Sequence[Any], *, late: bool) -> None:
        """Hold every entry to the books, and go on from it."""
        self.confirmed(entries, stray=late or self._is_stray())

    def is_stray(self) -> bool:
        return self._is_stray()

    def confirmed(self, entries: Sequence[Any], *, stray: bool) -> None:
        """Take up what is durable from here on: what was told of it before is broken."""
        for entry in entries:
            user, journal = entry.user_id, self._journal.setdefault(entry.user_id, [])
            require(entry.seq == len(journal) + 1, "a gap, or a number taken twice", entry=entry)
            require((user, entry.key) not in self._by_key, "a key entered twice", entry=entry)
            commands = self._commands.get((user, entry.key), [])
            require(commands or entry.key.startswith("§expire "), "nobody asked", entry=entry)
            if user not in self.foreign:
                self._books[user].append(enter(self.book(user), entry, commands, self.rules))
            self._by_key[user, entry.key] = entry
            journal.append(entry)
            self.entries += 1
            self.kinds[_kind_of(entry.change)] += 1
            if stray:
                self.astray[user] = entry.seq
            else:
                self.astray.pop(user, None)

    def viewed(self, user_ids: Sequence[str]) -> None:
        """Hold the views of users to the journal, as far as their mark says."""
        assert self._store is not None, "it is watched"
        for user_id in user_ids:
            mark = self._store.mark_of(user_id)  # type: ignore[arg-type]
            entries = self._journal.get(user_id, [])[:mark]
            require(len(entries) == mark, "a view contains what no journal has", user=user_id)
            audit_charges(self._store, user_id, entries, self.deltas)
            if user_id not in self.foreign:
                audit_views(self._store, self._history(user_id)[mark])

    # --- what clients send and are told -------------------------------------------------

    def sends(self, sent: Sent) -> None:
        """Note a command before it leaves. The same one again is a repeat."""
        known = self._commands.setdefault((sent.user_id, sent.key), [])
        if sent.fields not in known:
            known.append(sent.fields)
        self._history(sent.user_id)

    def told(self, sent: Sent, outcome: str, answer: object, *, kept: bool) -> None:
        """Hold a final answer to the journal. `answer`: the text, or the reason of a refusal."""
        self.replies += 1
        entry = self._by_key.get((sent.user_id, sent.key))
        if outcome == "refused" and answer == "idempotency_key_reused":
            self._check_reused(sent, entry)
            return
        if outcome == "refused" and not kept:
            self._refused.add(sent)
            self._check_without_effect(sent)
            return
        if entry is None and sent.fields["does"] == "open" and not kept:
            return  # The day was open: there was nothing to write.
        require(entry is not None, "acknowledged, and not durable", sent=sent, answer=answer)
        assert entry is not None
        require(
            _is_repeat(entry, sent.fields), "answered as another command", sent=sent, entry=entry
        )
        seen = _answer_of(entry)
        require(seen == (outcome, answer), "told otherwise than entered", told=answer, entry=seen)
        before = self._answers.setdefault(sent, (outcome, answer))
        require(before == (outcome, answer), "a repeat was answered otherwise", sent=sent)
        acknowledged = self._acknowledged.get(sent.user_id, 0)
        self._acknowledged[sent.user_id] = max(acknowledged, entry.seq)

    def _check_reused(self, sent: Sent, entry: Any) -> None:
        commands = self._commands[sent.user_id, sent.key]
        require(entry is not None, "a key was called used that is not", sent=sent)
        require(len(commands) > 1, "a repeat was called another command", sent=sent, entry=entry)

    def _check_without_effect(self, sent: Sent) -> None:
        entry = self._by_key.get((sent.user_id, sent.key))
        kind = None if entry is None else type(entry.change).__name__
        require(kind in (None, "CommandRefused"), "refused, and done", sent=sent, entry=entry)

    def acknowledged(self, user_id: str) -> int:
        """Return the newest entry a client knows of."""
        return self._acknowledged.get(user_id, 0)

    def read(self, user_id: str, at_least: int, body: bytes) -> None:
        """Hold a status to some state between the newest known when it was asked and now."""
        self.reads += 1
        said = read_status(json.loads(body))
        if user_id in self.foreign:
            return
        history = self._history(user_id)
        wrong: dict[str, Any] = {}
        for book in reversed(history[at_least:]):
            wrong = differences(status(book, said["as_of"], self.rules), said)
            if not wrong or _only_of_a_past_day(wrong, book, said["as_of"]):
                return
        require(False, "a status that never was", user=user_id, at_least=at_least, wrong=wrong)

    # --- at rest ------------------------------------------------------------------------

    def at_rest(self, excused: Collection[str]) -> None:
        """Hold everything to everything; views of the excused may lag still."""
        assert self._store is not None, "it is watched"
        for user_id, journal in self._journal.items():
            mark = self._store.mark_of(user_id)  # type: ignore[arg-type]
            require(
                mark == len(journal) or user_id in excused,
                "views lag at rest",
                user=user_id,
                mark=mark,
            )
        self.viewed(self.users)
        for sent in self._refused:
            self._check_without_effect(sent)
        stored = len(self._store.journal)
        require(stored == self.entries, "the journal changed behind us", stored=stored)

    def rests(self, user_id: str, body: bytes) -> None:
        """Hold a status at rest to the documents: RAM is what MongoDB gives."""
        assert self._store is not None, "it is watched"
        said = read_status(json.loads(body))
        book = book_of_documents(self._store, user_id, said["as_of"], self.rules)
        wrong = differences(status(book, said["as_of"], self.rules), said)
        if wrong and not _only_of_a_past_day(wrong, book, said["as_of"]):
            require(False, "RAM is not what the documents say", user=user_id, wrong=wrong)


def _is_repeat(entry: Any, said: Said) -> bool:
    """Say whether a command is what was entered under its key.

    A settlement that names the rule which was its default once repeats one that names none.
    """
    was_default = said["does"] == "settle" and said["rule"] == "reject"
    return is_of(entry, said) or (was_default and is_of(entry, {**said, "rule": "cap"}))


def _fate_in(change: Any, hold_id: str) -> str:
    """Return what a change makes of a hold; an empty text: nothing."""
    if getattr(change, "settles", None) == hold_id:
        return "late"
    if type(change).__name__ not in ("HoldSettled", "HoldFreed") or change.hold_id != hold_id:
        return ""
    if type(change).__name__ == "HoldSettled":
        return "settled"
    return "expired" if change.expired else "released"


def _kind_of(change: Any) -> str:
    if getattr(change, "settles", None) is not None:
        return "settled late"
    return KINDS.get(type(change).__name__, "other entries")


def _answer_of(entry: Any) -> tuple[str, object]:
    if type(entry.change).__name__ == "CommandRefused":
        return "refused", str(entry.change.refusal.reason)
    return "done", entry.answer


def _only_of_a_past_day(wrong: dict[str, Any], book: Book, at: datetime) -> bool:
    """Say whether the day alone differs that an ended subscription is shown on.

    A clock that was ahead may have touched a later day than today; the amounts are 0 on both.
    """
    shown = book.shown(at)
    ended = shown is not None and not shown.is_current(at)
    return ended and wrong.keys() <= {"date", "resets_at", "days_remaining"}

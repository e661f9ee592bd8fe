"""Reads everything a decision needs of many users at once, in a bounded number of round trips."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from actors.mongo.accounts.marks import FENCED as IS_FENCED
from actors.mongo.accounts.marks import UNREADABLE, Note, note_unreadable, read_mark, read_tail
from actors.mongo.accounts.projections import (
    DAY_FIELDS,
    PACK_FIELDS,
    SUBSCRIPTION_FIELDS,
    USAGE_FIELDS,
)
from actors.mongo.accounts.tails import Tails
from actors.mongo.causality import Causality
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.usages import with_source_ids_spelled
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import name_of, stored_id
from actors.mongo.ids import user_ids as user_ids_stored
from actors.mongo.instants import UNIX_START
from actors.mongo.references import References, by_user, with_ids_spelled
from actors.protocol.store import FENCED, JournalBrokenError
from domain.documents.journal import SpoiltEntry, command_id, entry_id, read_or_name
from domain.documents.recovery import Stored
from domain.documents.subscriptions import Document
from domain.messages import Entry
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.recent_use import DAYS_MAX
from domain.values import UserId

IDS_PER_QUERY_MAX = 2000  # Longer lists of ids are asked for in parts.
TORN_LOADS_MAX = 3  # How often an account is read again while another writer moves its views.
LAG_STEPS = (2, 16, 256, 1024)  # How many entries after the views each further round asks for.
BEYOND_NEWEST = 2  # So many numbers after the newest entry are asked for: a gap shows there.
RECENT = timedelta(days=DAYS_MAX + 1)  # Days of subscriptions that ended so long ago count as use.


class Loader:
    """Reads accounts and entries. Thread-safe, as pymongo's client is."""

    def __init__(self, database: Documents, causality: Causality, tails: Tails) -> None:
        self._database = database
        self._causality = causality
        self._tails = tails

    def load(
        self, user_ids: Sequence[UserId], now: datetime, recalls: Recalls = NOTHING_BESIDE
    ) -> list[Stored]:
        """Return what is stored of every user, in the order of `user_ids`.

        Marks are read first. A view that is ahead of its mark was moved while we read, so its
        account is read again; one that is still ahead in a snapshot was made by another program.
        A gap may have been filled while we read: it is one if it is there in a snapshot, too.
        """
        with unavailable_on_error():
            self._list_tails()
        with self._tails.reading() as let_go:
            return self._load(user_ids, now, recalls, let_go)

    def _load(
        self,
        user_ids: Sequence[UserId],
        now: datetime,
        recalls: Recalls,
        let_go: AbstractSet[UserId],
    ) -> list[Stored]:
        found: dict[UserId, Stored] = {}
        missing = list(user_ids)
        broken: Mapping[UserId, Note] = {}
        noted: dict[UserId, str] = {}
        tails = self._tails.of(user_ids)  # Durable before the reads begin, so they see it.
        with unavailable_on_error(), self._causality.session() as session:
            for _ in range(TORN_LOADS_MAX):
                loaded = self._load_once(missing, now, tails, session, recalls)
                noted |= loaded.noted
                whole = (s for s in loaded.stored if s.user_id not in loaded.broken)
                found.update((s.user_id, s) for s in whole if not _is_torn(s))
                missing = [user_id for user_id in missing if user_id not in found]
                if not missing:
                    break
            else:
                loaded = self._load_snapshot(missing, now, tails, recalls)
                broken = loaded.broken
                found.update((s.user_id, s) for s in loaded.stored)
        behind = ((u, s.entries[-1].seq) for u, s in found.items() if s.entries)
        self._tails.saw(place for place in behind if place[0] not in let_go)
        self._tails.written({u: s.applied_seq for u, s in found.items() if not s.entries})
        self._note(broken, noted)
        if broken:
            raise JournalBrokenError({u: note.why for u, note in broken.items()})
        return [found[user_id] for user_id in user_ids]

    def _list_tails(self) -> None:
        if not self._tails.is_listed:
            with self._causality.session() as session:
                self._tails.list_all(session)

    def _note(self, broken: Mapping[UserId, Note], noted: Mapping[UserId, str]) -> None:
        """Keep with the marks which accounts are broken. Who cannot be noted is so the next time."""
        changed: dict[UserId, Note | None] = {
            u: note for u, note in broken.items() if note.why not in (noted.get(u), FENCED)
        }
        changed |= dict.fromkeys(noted.keys() - broken.keys())
        with contextlib.suppress(PyMongoError):
            note_unreadable(self._database, changed)

    def _load_snapshot(
        self,
        user_ids: Sequence[UserId],
        now: datetime,
        tails: Mapping[UserId, int],
        recalls: Recalls,
    ) -> "_Loaded":
        with (
            self._causality.begun_session() as session,
            session.start_transaction(read_concern=ReadConcern("snapshot")),
        ):
            return self._load_once(user_ids, now, tails, session, recalls)

    def _load_once(
        self,
        user_ids: Sequence[UserId],
        now: datetime,
        tails: Mapping[UserId, int],
        session: ClientSession | None,
        recalls: Recalls,
    ) -> "_Loaded":
        ids = [stored_id(user_id) for user_id in user_ids]
        marks: dict[UserId, int | None] = dict.fromkeys(user_ids, 0)
        noted: dict[UserId, str] = {}
        fenced: set[UserId] = set()
        newest = dict(tails)
        for mark in self.find("allotment_accounts", "_id", ids, None, session):
            user_id = UserId(str(mark["_id"]))
            marks[user_id] = None if IS_FENCED in mark else read_mark(mark)
            fenced |= {user_id} if IS_FENCED in mark else set()
            if UNREADABLE in mark:
                noted[user_id] = str(mark[UNREADABLE])
                newest[user_id] = max(newest.get(user_id, 0), read_tail(mark))
        unmarked = [user_id for user_id, mark in marks.items() if mark is None]
        broken = {u: FENCED if u in fenced else "its mark is no whole number" for u in unmarked}
        known = {user_id: mark for user_id, mark in marks.items() if mark is not None}
        ids = [i for user_id in user_ids for i in user_ids_stored(user_id)]
        entries = self._entries_after(known, broken, session)
        subscriptions = by_user(
            self.find("subscriptions", "user_id", ids, SUBSCRIPTION_FIELDS, session)
        )
        packs = by_user(self.find("packs", "user_id", ids, PACK_FIELDS, session))
        charges, lapsed_holds = self._recalled(recalls, session)
        # Days of ones long past decide nothing, unless an entry moves an end that is past.
        wanted = [
            document["_id"]
            for user_id, documents in subscriptions.items()
            for document in documents
            if user_id in entries or has_recent_days(document, now)
        ]
        days = self._days(wanted, session)
        stored = [
            Stored(
                user_id,
                known.get(user_id, 0),
                [with_ids_spelled(document) for document in subscriptions.get(user_id, ())],
                [
                    day
                    for subscription in subscriptions.get(user_id, ())
                    for day in days.get(name_of(subscription["_id"]), ())
                ],
                entries.get(user_id, []),
                [with_ids_spelled(document) for document in packs.get(user_id, ())],
                charges.get(user_id, []),
                lapsed_holds.get(user_id, []),
            )
            for user_id in user_ids
        ]
        for user_id, found in entries.items():
            newest[user_id] = max(newest.get(user_id, 0), found[-1].seq)
        gaps = {s.user_id: why for s in stored if (why := _gap(s, newest.get(s.user_id, 0)))}
        notes = {u: Note(why, newest.get(u, 0)) for u, why in (gaps | broken).items()}
        return _Loaded(stored, notes, noted)

    def _recalled(
        self, recalls: Recalls, session: ClientSession | None
    ) -> tuple[dict[str, list[Document]], dict[str, list[Document]]]:
        """Return the charges and the expired holds that are recalled, by user."""
        usages = [stored_id(usage_id) for usage_id in sorted(recalls.usages)]
        charges = self.find("usages", "_id", usages, USAGE_FIELDS, session)
        lapsed = self.find("allotment_lapsed_holds", "_id", sorted(recalls.holds), None, session)
        return by_user(map(with_source_ids_spelled, charges)), by_user(lapsed)

    def _days(
        self, subscription_ids: list[Any], session: ClientSession | None
    ) -> dict[str, list[Document]]:
        """Return the days of subscriptions, by the spelling of their ids."""
        references = References(subscription_ids)
        values = [*references.values]
        found = list(self.find("dailycredits", "subscription_id", values, DAY_FIELDS, session))
        strangers = references.strangers(found)
        if strangers:
            exact = self.find("subscriptions", "_id", strangers, ("_id",), session)
            references.leave_out(document["_id"] for document in exact)
        days: dict[str, list[Document]] = {}
        for day in references.read(found):
            days.setdefault(day["subscription_id"], []).append(day)
        return days

    def _entries_after(
        self, marks: dict[UserId, int], broken: dict[UserId, str], session: ClientSession | None
    ) -> dict[UserId, list[Entry]]:
        """Return the entries after each user's mark. Their ids are known: numbers have no gaps.

        Whose journal has one that cannot be read is named in `broken`.
        """
        found: dict[UserId, list[Entry]] = {}
        behind = dict(marks)
        step = 0
        while behind:
            count = LAG_STEPS[min(step, len(LAG_STEPS) - 1)]
            ids = [entry_id(u, seq + 1 + i) for u, seq in behind.items() for i in range(count)]
            entries = map(read_or_name, self.find("allotment_journal", "_id", ids, None, session))
            for entry in sorted((e for e in entries if e), key=lambda e: e.seq):
                if isinstance(entry, SpoiltEntry):
                    why = f"entry {entry.seq} cannot be read: {entry.reason}"
                    broken.setdefault(entry.user_id, why)
                else:
                    found.setdefault(entry.user_id, []).append(entry)
            behind = {
                u: seq + count
                for u, seq in behind.items()
                if u in found and u not in broken and found[u][-1].seq > seq + count - BEYOND_NEWEST
            }
            step += 1
        return found

    def find(
        self,
        collection: str,
        field: str,
        values: list[Any],
        fields: Sequence[str] | None = None,
        session: ClientSession | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the documents whose field has one of the values, in parts of bounded length."""
        for start in range(0, len(values), IDS_PER_QUERY_MAX):
            part = values[start : start + IDS_PER_QUERY_MAX]
            where = {field: {"$in": part}}
            yield from self._database[collection].find(where, fields, session=session)

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> list[Entry | SpoiltEntry]:
        """Return the entries that these users' idempotency keys already have."""
        ids = [command_id(user_id, key) for user_id, key in commands]
        with unavailable_on_error(), self._causality.session() as session:
            found = self.find("allotment_journal", "command_id", ids, session=session)
            return [entry for entry in map(read_or_name, found) if entry is not None]


class _Loaded(NamedTuple):
    """What is stored of some users, and of whom it is not all that was decided."""

    stored: list[Stored]
    broken: dict[UserId, Note]
    noted: dict[UserId, str]
    """Whom an earlier load has found to be broken, and why."""


def has_recent_days(subscription: Document, now: datetime) -> bool:
    """Say whether some day of a subscription may be read: it goes on, or has ended lately."""
    since = now if now - UNIX_START < RECENT else now - RECENT
    if subscription.get("end_date") is None:  # Its end is open.
        return True
    moments = (subscription["end_date"], subscription.get("changed_at"))
    return any(isinstance(moment, datetime) and moment > since for moment in moments)


def _is_torn(stored: Stored) -> bool:
    views = (*stored.subscriptions, *stored.days, *stored.packs)
    marks = [view.get("applied_seq") for view in views]
    marks += [record.get("seq") for record in stored.usages]
    return any(isinstance(mark, int) and mark > stored.applied_seq for mark in marks)


def _gap(stored: Stored, newest: int) -> str | None:
    """Return what is missing of the entries up to the newest one that is known; None: nothing."""
    last = stored.applied_seq
    for entry in stored.entries:
        if entry.seq != last + 1:
            return f"entry {last + 1} is missing, and later ones are there"
        last = entry.seq
    if last < newest:
        return f"entry {last + 1} is missing, and entry {newest} has been there"
    return None

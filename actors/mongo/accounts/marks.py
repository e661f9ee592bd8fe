"""The marks in `allotment_accounts`: up to which entry all views of an account contain its journal."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bson import Int64, ObjectId
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from actors.mongo.embedded_wire import Documents
from actors.mongo.failures import is_duplicate
from actors.mongo.ids import stored_id
from domain.documents.views import AccountViews
from domain.values import UserId

UNREADABLE = "unreadable"
"""The field that says why an account's journal cannot be read: who fills RAM passes over it."""
TAIL = "tail"
"""The field beside it: the number of the newest entry that is known. Where it is gone, or those before
it, later processes know by this."""
FENCED = "fenced"
"""The field that says by which anonymisation an account is held: nobody loads it."""
NO_MARK = -1  # Of a mark that cannot be read: no view is brought forward from there.


class Note(NamedTuple):
    """Why a journal cannot be read, and the number of its newest entry."""

    why: str
    tail: int


class MarkMovedError(Exception):
    """An account's views are not where the writer thought."""


def read_mark(document: Mapping[str, Any]) -> int | None:
    """Return the mark in a document; None: it is none."""
    mark = document.get("applied_seq")
    is_mark = isinstance(mark, int) and not isinstance(mark, bool) and mark >= 0
    return int(mark) if is_mark and mark is not None else None


def read_tail(document: Mapping[str, Any]) -> int:
    """Return the newest number that is noted beside a mark; 0: none is."""
    tail = document.get(TAIL)
    return tail if isinstance(tail, int) else 0


def read_marks(
    database: Documents, user_ids: Sequence[UserId], session: ClientSession | None = None
) -> dict[UserId, int]:
    """Return the marks of these users; an account that was never written has none."""
    where = {"_id": {"$in": [stored_id(user_id) for user_id in user_ids]}}
    marks: dict[UserId, int] = {}
    for document in database.allotment_accounts.find(where, session=session):
        mark = read_mark(document)
        marks[UserId(str(document["_id"]))] = NO_MARK if mark is None else mark
    return marks


def note_unreadable(database: Documents, notes: Mapping[UserId, Note | None]) -> None:
    """Keep why accounts cannot be read; None: they can. Who has no mark gets one of 0."""
    if notes:
        writes = [
            UpdateOne(
                {"_id": stored_id(user_id)},
                {"$unset": {UNREADABLE: "", TAIL: ""}}
                if note is None
                else {
                    "$set": {UNREADABLE: note.why, TAIL: Int64(note.tail)},
                    "$setOnInsert": {"applied_seq": Int64(0)},
                },
                upsert=note is not None,
            )
            for user_id, note in notes.items()
        ]
        database.allotment_accounts.bulk_write(writes, ordered=False)


def move_marks(database: Documents, views: Sequence[AccountViews], session: ClientSession) -> None:
    """Move the marks of many accounts in a transaction. MarkMovedError: one is elsewhere.

    They are read and then moved without a condition: where another transaction moves one in
    between, the server refuses the later of the two. So one statement moves all that go
    equally far, which is most of them.
    """
    marks = read_marks(database, [view.user_id for view in views], session)
    if any(marks.get(view.user_id, 0) != view.after_seq for view in views):
        raise MarkMovedError
    new = [
        {"_id": stored_id(view.user_id), "applied_seq": Int64(view.applied_seq)}
        for view in views
        if view.user_id not in marks
    ]
    if new:  # No upsert: a mark that is there already must refuse it.
        _insert_marks(database, new, session)
    by_step: defaultdict[int, list[ObjectId | str]] = defaultdict(list)
    for view in views:
        if view.user_id in marks:
            by_step[view.applied_seq - view.after_seq].append(stored_id(view.user_id))
    for step, ids in by_step.items():
        database.allotment_accounts.update_many(
            {"_id": {"$in": ids}}, {"$inc": {"applied_seq": Int64(step)}}, session=session
        )


def _insert_marks(
    database: Documents, marks: Sequence[dict[str, Any]], session: ClientSession
) -> None:
    try:
        database.allotment_accounts.insert_many(marks, ordered=False, session=session)
    except BulkWriteError as error:
        if is_duplicate(error):
            raise MarkMovedError from error
        raise

"""Pages of usage records, newest first, by timestamp and id: each is read on from where one ended.

The embedded server reads all that a filter matches, whatever the sort and the limit. So ranges of
time begin short, and grow where they hold less than a page.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import ObjectId
from bson.errors import BSONError

from actors.mongo.documents.usages import read_usage
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import has_range, ranges_before, stored_id
from actors.protocol.queries import UsageQuery
from domain.api.usage_answers import UsagePage, UsageRecord
from domain.values import is_object_id

PAGE_BYTES_MAX = 512 * 1024  # Of records, about; then the page ends, however many were asked for.
RECORD_BYTES = 500  # Of a record, beside its details.
DOCUMENTS_PER_BATCH = 100
FIRST_RANGE, GROWTH = timedelta(hours=1), 4
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
CURSOR = re.compile(r"([0-9]{1,14})([-.])(.+)")  # Up to the year 5138.
OBJECT_ID, TEXT, OTHER = "o", "t", "b"

Place = tuple[datetime, Any]
"""The timestamp and the id of the record that a page ended with."""


def usage_page(database: Documents, query: UsageQuery, now: datetime | None) -> UsagePage:
    """Return one page. `now`: before when most records are. Raises ValueError, PyMongoError."""
    place = None if query.cursor is None else read_cursor(query.cursor)
    items: list[UsageRecord] = []
    last: Place | None = None
    room = PAGE_BYTES_MAX
    for document in _documents(database, query, place, now):
        if len(items) == query.limit or room <= 0:
            assert last is not None, "a page has at least one record"
            return UsagePage(items=items, next_cursor=cursor_of(last))
        record = read_usage(document)
        items.append(record)
        last = document["timestamp"], document["_id"]
        room -= RECORD_BYTES + len(str(record.details))
    return UsagePage(items=items, next_cursor=None)


def _documents(
    database: Documents, query: UsageQuery, place: Place | None, now: datetime | None
) -> Iterator[dict[str, Any]]:
    """Yield the records after a place, in order, and no more than are wanted of each range."""
    user_id, until = stored_id(query.user_id), query.until
    wheres: list[Mapping[str, Any]] = []
    if place is not None:
        until = place[0]
        same = {"user_id": user_id, "timestamp": until}
        wheres = [same | {"_id": ids} for ids in ranges_before(place[1])]
    wheres += [
        {"user_id": user_id, "timestamp": {"$gte": begin, "$lt": end}}
        for begin, end in ranges(query.since, until, now)
    ]
    for where in wheres:
        found = database.usages.find(where).sort([("timestamp", -1), ("_id", -1)])
        yield from found.limit(query.limit + 1).batch_size(DOCUMENTS_PER_BATCH)


def ranges(
    since: datetime, until: datetime, now: datetime | None
) -> Iterator[tuple[datetime, datetime]]:
    """Yield ranges of time backwards from `until` to `since`, half-open, each longer than the last.

    What is after `now` is one of them.
    """
    if now is not None and since < now < until:
        yield now, until
        until = now
    length = FIRST_RANGE
    while since < until:
        begin = since if now is None or until - since <= length else until - length
        yield begin, until
        until, length = begin, length * GROWTH


def cursor_of(place: Place) -> str:
    """Return where the next page begins, as callers send it back."""
    moment, last = place
    match last:
        case ObjectId():
            name = f"{OBJECT_ID}{last}"
        case str():
            name = f"{TEXT}{last}"
        case _:
            name = OTHER + base64.urlsafe_b64encode(bson.encode({"": last})).decode()
    return f"{(moment - EPOCH) // MILLISECOND}.{name}"


def read_cursor(cursor: str) -> Place:
    """Return where a page ended. ValueError: no page of ours has given this cursor."""
    found = CURSOR.fullmatch(cursor)
    if found is None:
        raise ValueError("the cursor is not one that a page gave")
    moment = EPOCH + int(found[1]) * MILLISECOND
    if found[2] == "-":  # As an older version gave it.
        return moment, stored_id(found[3])
    kind, name = found[3][0], found[3][1:]
    if kind == OBJECT_ID and is_object_id(name):
        return moment, ObjectId(name)
    if kind == TEXT:
        return moment, name
    try:
        last = bson.decode(base64.urlsafe_b64decode(name))[""]
    except (BSONError, binascii.Error, KeyError, ValueError) as error:
        raise ValueError("the cursor is not one that a page gave") from error
    if kind != OTHER or not has_range(last):
        raise ValueError("the cursor is not one that a page gave")
    return moment, last

"""Pages of refused requests, newest first: what of the journal says that nothing was done."""

import itertools
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from actors.mongo.accounts.usage_pages import EPOCH, MILLISECOND, ranges
from actors.mongo.embedded_wire import Documents
from actors.protocol.queries import RefusalPageQuery
from domain.api.refusal_answers import RefusalPage, RefusalRecord, refusal_record
from domain.documents.journal import read_or_name
from domain.messages import Entry

KIND = "command_refused"
CURSOR = re.compile(r"([0-9]{1,14})\.(.+)", re.DOTALL)
DOCUMENTS_PER_BATCH = 100


def refusal_page(database: Documents, query: RefusalPageQuery, now: datetime) -> RefusalPage:
    """Return one page. Raises ValueError: the cursor is not one of ours; PyMongoError."""
    place = None if query.cursor is None else _read_cursor(query.cursor)
    items: list[RefusalRecord] = []
    found = itertools.islice(_documents(database, query.limit + 1, place, now), query.limit + 1)
    documents = list(found)
    for document in documents[: query.limit]:
        entry = read_or_name(document)
        record = refusal_record(entry) if isinstance(entry, Entry) else None
        if record is not None:  # What cannot be read is in its user's history.
            items.append(record)
    is_last = len(documents) <= query.limit
    return RefusalPage(items=items, next_cursor=None if is_last else _cursor(documents[-2]))


def _documents(
    database: Documents, length: int, place: tuple[datetime, str] | None, now: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the refusals after a place, in order. Ranges of time begin short, as for records."""
    until = datetime.max.replace(tzinfo=EPOCH.tzinfo)
    wheres: list[Mapping[str, Any]] = []
    if place is not None:
        until = place[0]
        wheres = [{"kind": KIND, "at": until, "_id": {"$gte": "", "$lt": place[1]}}]
    wheres += [
        {"kind": KIND, "at": {"$gte": begin, "$lt": end}}
        for begin, end in ranges(EPOCH, until, now)
    ]
    for where in wheres:
        found = database.allotment_journal.find(where).sort([("at", -1), ("_id", -1)])
        yield from found.limit(length).batch_size(DOCUMENTS_PER_BATCH)


def _cursor(document: Mapping[str, Any]) -> str:
    return f"{(document['at'] - EPOCH) // MILLISECOND}.{document['_id']}"


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    found = CURSOR.fullmatch(cursor)
    if found is None:
        raise ValueError("the cursor is not one that a page gave")
    return EPOCH + int(found[1]) * MILLISECOND, found[2]

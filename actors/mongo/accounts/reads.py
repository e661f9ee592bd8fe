"""What clients read beside the accounts: subscriptions, lists of usage and its sums."""

import contextlib
import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pymongo
from bson import Decimal128

from actors.mongo.accounts.marks import read_mark
from actors.mongo.accounts.usage_pages import PAGE_BYTES_MAX, RECORD_BYTES, usage_page
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.amounts import ZERO, amount_or
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import stored_id, user_ids
from actors.mongo.references import with_ids_spelled
from actors.protocol.queries import HistoryQuery, UsageQuery
from domain.api.answers import TokenCounts
from domain.api.history_answers import HistoryEntry, HistoryPage
from domain.api.list_answers import history_entry
from domain.api.usage_answers import UsagePage, UsageSums, UserUsage
from domain.documents.journal import SpoiltEntry, entry_id, read_or_name
from domain.documents.subscriptions import Document
from domain.messages import Entry
from domain.usage_facts import KINDS
from domain.values import UserId

READ_SECONDS_MAX = 8.0
LISTED_MAX = 1_000  # Subscriptions, and packs, in one answer. All that are in force are among them.
ENTRIES_PER_BATCH = 100
NAMES_MAX = 1_000  # Services, and models, named in one answer: those with the most credits.
OTHERS = "(others)"  # What the sums of all further ones are called.
UNKNOWN_SERVICE = "unknown"  # Where a record of another program names none.
REVERSED = {"$min": [amount_or("$reversed_credits", ZERO), amount_or("$credit_amount", ZERO)]}
TELLS_KINDS = {"$eq": [{"$type": "$tokens"}, "object"]}
BY_KIND: dict[str, Any] = {"told": {"$sum": {"$cond": [TELLS_KINDS, 1, 0]}}} | {
    kind: {"$sum": {"$cond": [TELLS_KINDS, amount_or(f"$tokens.{kind}", ZERO), ZERO]}}
    for kind in KINDS
}


@contextlib.contextmanager
def _within_time() -> Iterator[None]:
    """Give reads so long, all of a block together: the server, too, gives them up then."""
    with unavailable_on_error(), pymongo.timeout(READ_SECONDS_MAX):
        yield


class MongoReads:
    """Queries over the views. They see what the views contain: flush the account before."""

    def __init__(self, database: Documents) -> None:
        self._database = database

    def subscriptions_of(self, user_id: UserId) -> list[Document]:
        """Return the subscription documents of a user: of too many, those that end last, or never."""
        return self._last("subscriptions", user_id, "end_date")

    def packs_of(self, user_id: UserId) -> list[Document]:
        """Return the pack documents of a user: of too many, those that expire last, or never."""
        return self._last("packs", user_id, "expires_at")

    def _last(self, collection: str, user_id: UserId, field: str) -> list[Document]:
        """Return documents of a user: of too many, those with the last instants, or none."""
        where = {"user_id": {"$in": user_ids(user_id)}}
        with _within_time():
            found = self._database[collection].find(where)
            last = heapq.nlargest(LISTED_MAX, found, key=lambda d: _instant(d.get(field)))
            return list(map(with_ids_spelled, last))

    def usage_page(self, query: UsageQuery, now: datetime | None = None) -> UsagePage:
        """Return one page, newest first. ValueError: the cursor is not one of ours."""
        with _within_time():
            return usage_page(self._database, query, now)

    def usage_sums(
        self, user_id: UserId, span: tuple[datetime, datetime], timezone: str
    ) -> UserUsage:
        """Return the sums over the records with a timestamp in `span` (half-open)."""
        day = {"format": "%Y-%m-%d", "date": "$timestamp", "timezone": timezone}
        where = {
            "user_id": stored_id(user_id),
            "timestamp": {"$gte": span[0], "$lt": span[1]},
        }
        group = {
            "_id": {
                "service": "$service_type",
                "model": "$model_used",
                "day": {"$dateToString": day},
            },
            "records": {"$sum": 1},
            "charged": {"$sum": amount_or("$credit_amount", ZERO)},
            "reversed_credits": {"$sum": REVERSED},
            "token_count": {"$sum": amount_or("$token_count", ZERO)},
            **BY_KIND,
        }
        with _within_time():
            rows = list(self._database.usages.aggregate([{"$match": where}, {"$group": group}]))
        total = _sums(rows)
        return UserUsage(
            user_id=user_id,
            records=total.records,
            credit_amount=total.credit_amount,
            reversed_credits=total.reversed_credits,
            token_count=total.token_count,
            tokens=total.tokens,
            by_service=_sums_by(rows, "service"),
            by_model=_sums_by([row for row in rows if row["_id"].get("model")], "model"),
            by_day=_sums_by(rows, "day"),
        )

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return one page of a user's journal. The ids of its entries are known before."""
        with _within_time():
            mark = (
                self._database.allotment_accounts.find_one({"_id": stored_id(query.user_id)}) or {}
            )
            newest = read_mark(mark) or 0
            if query.before is not None:
                newest = min(newest, query.before - 1)
            oldest = max(1, newest - query.limit + 1)
            items: list[HistoryEntry] = []
            room = PAGE_BYTES_MAX
            for entry, length in self._entries(query.user_id, newest, oldest):
                items.append(history_entry(entry))
                room -= RECORD_BYTES + length
                if room <= 0:
                    break
        # Old entries leave the journal: where one of the page is gone, so are those before it.
        last = items[-1].seq if items else oldest
        more = last > 1 and len(items) == newest - last + 1
        return HistoryPage(
            user_id=query.user_id, items=items, next_cursor=str(last) if more else None
        )

    def _entries(
        self, user_id: UserId, newest: int, oldest: int
    ) -> Iterator[tuple[Entry | SpoiltEntry, int]]:
        """Yield entries, newest first, and how long each is: no more are read than are wanted."""
        for end in range(newest, oldest - 1, -ENTRIES_PER_BATCH):
            begin = max(oldest, end - ENTRIES_PER_BATCH + 1)
            ids = [entry_id(user_id, seq) for seq in range(begin, end + 1)]
            found = self._database.allotment_journal.find({"_id": {"$in": ids}})
            read = [(read_or_name(document), length_of(document)) for document in found]
            entries = [(entry, length) for entry, length in read if entry is not None]
            yield from sorted(entries, key=lambda pair: -pair[0].seq)


def length_of(document: Mapping[str, Any]) -> int:
    """Return about how long an entry is as a list shows it."""
    return len(str(document.get("body"))) + len(str(document.get("answer")))


def _instant(value: object) -> float:
    """Return what instants are ordered by: none is the last; what is no instant, the first."""
    if value is None:
        return float("inf")
    return value.timestamp() if isinstance(value, datetime) else float("-inf")


def _sums(rows: list[dict[str, Any]]) -> UsageSums:
    records = charged = reversed_credits = token_count = 0
    for row in rows:
        records += int(row["records"])
        charged += _sum(row["charged"])
        reversed_credits += _sum(row["reversed_credits"])
        token_count += _sum(row["token_count"])
    return UsageSums(
        records=records,
        credit_amount=charged - reversed_credits,
        reversed_credits=reversed_credits,
        token_count=token_count,
        tokens=_tokens([row for row in rows if row["told"]]),
    )


def _tokens(rows: list[dict[str, Any]]) -> TokenCounts | None:
    """Return the sums by kind; None: no record tells its tokens by kind."""
    if not rows:
        return None
    return TokenCounts(**{kind: sum(_sum(row[kind]) for row in rows) for kind in KINDS})


def _sum(total: float | Decimal128) -> int:
    """Return a sum of whole numbers, of whatever type the server made it."""
    return int(total.to_decimal() if isinstance(total, Decimal128) else total)


def _sums_by(rows: list[dict[str, Any]], name: str) -> dict[str, UsageSums]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row["_id"].get(name) or UNKNOWN_SERVICE), []).append(row)
    if len(groups) > NAMES_MAX:
        by_size = sorted(groups, key=lambda key: _size(groups[key]), reverse=True)
        rest = [row for key in by_size[NAMES_MAX:] for row in groups.pop(key)]
        groups.setdefault(OTHERS, []).extend(rest)
    return {key: _sums(groups[key]) for key in sorted(groups)}


def _size(rows: list[dict[str, Any]]) -> tuple[int, int]:
    sums = _sums(rows)
    return sums.credit_amount, sums.records

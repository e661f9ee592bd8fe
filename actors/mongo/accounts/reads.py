"""What clients read beside the accounts: subscriptions, lists of usage and monthly sums."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pymongo
from bson import Decimal128

from actors.mongo.accounts.marks import read_mark
from actors.mongo.accounts.usage_pages import usage_page
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.amounts import ZERO, amount_or
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import stored_id, user_ids
from actors.mongo.references import with_ids_spelled
from actors.protocol.queries import HistoryQuery, UsageQuery
from domain.api.answers import TokenCounts
from domain.api.history_answers import HistoryPage
from domain.api.list_answers import history_entry
from domain.api.usage_answers import MonthlyUsage, UsagePage, UsageSums
from domain.documents.journal import entry_id, read_or_name
from domain.documents.subscriptions import Document
from domain.usage_facts import KINDS
from domain.values import UserId

READ_SECONDS_MAX = 8.0
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
        """Return all subscription documents of a user."""
        with _within_time():
            where = {"user_id": {"$in": user_ids(user_id)}}
            return [with_ids_spelled(d) for d in self._database.subscriptions.find(where)]

    def packs_of(self, user_id: UserId) -> list[Document]:
        """Return all pack documents of a user."""
        with _within_time():
            where = {"user_id": {"$in": user_ids(user_id)}}
            return [with_ids_spelled(d) for d in self._database.packs.find(where)]

    def usage_page(self, query: UsageQuery, now: datetime | None = None) -> UsagePage:
        """Return one page, newest first. ValueError: the cursor is not one of ours."""
        with _within_time():
            return usage_page(self._database, query, now)

    def monthly_usage(
        self, user_id: UserId, month: str, span: tuple[datetime, datetime], timezone: str
    ) -> MonthlyUsage:
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
        return MonthlyUsage(
            user_id=user_id,
            month=month,
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
            ids = [entry_id(query.user_id, seq) for seq in range(oldest, newest + 1)]
            found = self._database.allotment_journal.find({"_id": {"$in": ids}})
            entries = [entry for entry in map(read_or_name, found) if entry is not None]
        entries.sort(key=lambda entry: entry.seq, reverse=True)
        # Old entries leave the journal: where one of the page is gone, so are those before it.
        more = oldest > 1 and len(entries) == len(ids)
        return HistoryPage(
            user_id=query.user_id,
            items=[history_entry(entry) for entry in entries],
            next_cursor=str(oldest) if more else None,
        )


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
    return {key: _sums(groups[key]) for key in sorted(groups)}

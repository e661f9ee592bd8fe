"""What clients read beside the accounts: subscriptions, lists of usage and monthly sums."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from bson import Decimal128

from actors.mongo.amounts import ZERO, amount_or
from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.ids import stored_id, user_ids
from actors.mongo.references import with_ids_spelled
from actors.mongo.usage_documents import read_usage
from actors.store import HistoryQuery, UsageQuery
from domain.answering import history_entry
from domain.answers import HistoryPage, MonthlyUsage, UsagePage, UsageRecord, UsageSums
from domain.codec import entry_id, read_entry
from domain.foreign import Document
from domain.values import UserId

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
CURSOR_MOMENT = re.compile(r"[0-9]{1,14}")  # Up to the year 5138.
UNKNOWN_SERVICE = "unknown"  # Where a record of another program names none.


class MongoReads:
    """Queries over the views. They see what the views contain: flush the account before."""

    def __init__(self, database: Documents) -> None:
        self._database = database

    def subscriptions_of(self, user_id: UserId) -> list[Document]:
        """Return all subscription documents of a user."""
        with unavailable_on_error():
            where = {"user_id": {"$in": user_ids(user_id)}}
            return [with_ids_spelled(d) for d in self._database.subscriptions.find(where)]

    def usage_page(self, query: UsageQuery) -> UsagePage:
        """Return one page, newest first. ValueError: the cursor is not one of ours."""
        until, after = query.until, None
        if query.cursor is not None:
            until, after = _read_cursor(query.cursor)
        last_moment = "$lt" if after is None else "$lte"
        where = {
            "user_id": stored_id(query.user_id),
            "timestamp": {"$gte": query.since, last_moment: until},
        }
        items: list[UsageRecord] = []
        with unavailable_on_error():
            records = map(read_usage, self._database.usages.find(where).sort("timestamp", -1))
            for moment, same in groupby(records, key=lambda record: record.timestamp):
                # By the text of their ids, as cursors are: programs' ids are of many types.
                ordered = sorted(same, key=lambda record: record.usage_id, reverse=True)
                seen = after if moment == until else None
                items += [r for r in ordered if seen is None or r.usage_id < seen]
                if len(items) > query.limit:
                    break
        page = items[: query.limit]
        more = len(items) > query.limit
        return UsagePage(
            items=page,
            next_cursor=_cursor(page[-1].timestamp, page[-1].usage_id) if more else None,
        )

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
            "credit_amount": {"$sum": amount_or("$credit_amount", ZERO)},
            "token_count": {"$sum": amount_or("$token_count", ZERO)},
        }
        with unavailable_on_error():
            rows = list(self._database.usages.aggregate([{"$match": where}, {"$group": group}]))
        total = _sums(rows)
        return MonthlyUsage(
            user_id=user_id,
            month=month,
            records=total.records,
            credit_amount=total.credit_amount,
            token_count=total.token_count,
            by_service=_sums_by(rows, "service"),
            by_model=_sums_by([row for row in rows if row["_id"].get("model")], "model"),
            by_day=_sums_by(rows, "day"),
        )

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return one page of a user's journal. The ids of its entries are known before."""
        with unavailable_on_error():
            mark = (
                self._database.allotment_accounts.find_one({"_id": stored_id(query.user_id)}) or {}
            )
            newest = int(mark.get("applied_seq", 0))
            if query.before is not None:
                newest = min(newest, query.before - 1)
            oldest = max(1, newest - query.limit + 1)
            ids = [entry_id(query.user_id, seq) for seq in range(oldest, newest + 1)]
            entries = [
                read_entry(d) for d in self._database.allotment_journal.find({"_id": {"$in": ids}})
            ]
        entries.sort(key=lambda entry: entry.seq, reverse=True)
        # Old entries leave the journal: where one of the page is gone, so are those before it.
        more = oldest > 1 and len(entries) == len(ids)
        return HistoryPage(
            user_id=query.user_id,
            items=[history_entry(entry) for entry in entries],
            next_cursor=str(oldest) if more else None,
        )


def _sums(rows: Iterable[dict[str, Any]]) -> UsageSums:
    records = credit_amount = token_count = 0
    for row in rows:
        records += int(row["records"])
        credit_amount += _sum(row["credit_amount"])
        token_count += _sum(row["token_count"])
    return UsageSums(records=records, credit_amount=credit_amount, token_count=token_count)


def _sum(total: float | Decimal128) -> int:
    """Return a sum of whole numbers, of whatever type the server made it."""
    return int(total.to_decimal() if isinstance(total, Decimal128) else total)


def _sums_by(rows: Iterable[dict[str, Any]], name: str) -> dict[str, UsageSums]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row["_id"].get(name) or UNKNOWN_SERVICE), []).append(row)
    return {key: _sums(groups[key]) for key in sorted(groups)}


def _cursor(moment: datetime, usage_id: str) -> str:
    return f"{(moment - EPOCH) // MILLISECOND}-{usage_id}"


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    milliseconds, _, usage_id = cursor.partition("-")
    if not (CURSOR_MOMENT.fullmatch(milliseconds) and usage_id):
        raise ValueError("the cursor is not one that a page gave")
    return EPOCH + int(milliseconds) * MILLISECOND, usage_id

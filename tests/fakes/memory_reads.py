"""What clients read beside the accounts, over the store in memory."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from actors.mongo.documents.usages import read_usage
from actors.protocol.queries import (
    HistoryQuery,
    RefusalPageQuery,
    SubscriptionPageQuery,
    UsageQuery,
)
from actors.protocol.store import ChargedUsage
from domain.api.answers import SubscriptionPage, TokenCounts
from domain.api.history_answers import HistoryPage
from domain.api.list_answers import history_entry, subscription_record
from domain.api.refusal_answers import RefusalPage, refusal_record
from domain.api.usage_answers import UsagePage, UsageRecord, UsageSums, UserUsage
from domain.documents.journal import entry_id
from domain.documents.subscriptions import Document, read_subscriptions
from domain.usage_facts import KINDS
from domain.values import UserId
from tests.fakes.memory_store import MemoryStore

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryReads:
    """`Reads` over the documents of a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def subscriptions_of(self, user_id: UserId) -> list[Document]:
        self._store.enter("subscriptions_of")
        return list(self._store.documents_of("subscriptions", user_id))

    def packs_of(self, user_id: UserId) -> list[Document]:
        self._store.enter("packs_of")
        return list(self._store.documents_of("packs", user_id))

    def usage_page(self, query: UsageQuery, now: datetime | None = None) -> UsagePage:
        self._store.enter("usage_page")
        after = None if query.cursor is None else _read_cursor(query.cursor)
        records = [
            record
            for record in self._usages_of(query.user_id, query.since, query.until)
            if after is None or _place(record) < after
        ]
        records.sort(key=_place, reverse=True)
        page, rest = records[: query.limit], records[query.limit :]
        return UsagePage(
            items=page, next_cursor="{}.o{}".format(*_place(page[-1])) if rest else None
        )

    def history(self, query: HistoryQuery) -> HistoryPage:
        self._store.enter("history")
        before = query.before or 2**62
        entries = [
            entry
            for entry in self._store.journal.values()
            if entry.user_id == query.user_id and entry.seq < before
        ]
        entries.sort(key=lambda entry: entry.seq, reverse=True)
        page, rest = entries[: query.limit], entries[query.limit :]
        return HistoryPage(
            user_id=query.user_id,
            items=[history_entry(entry) for entry in page],
            next_cursor=str(page[-1].seq) if rest else None,
        )

    def usage_sums(
        self, user_id: UserId, span: tuple[datetime, datetime], timezone: str
    ) -> UserUsage:
        self._store.enter("usage_sums")
        records = self._usages_of(user_id, *span)
        total = _sums(records)
        by: dict[str, dict[str, list[UsageRecord]]] = {"service": {}, "model": {}, "day": {}}
        for record in records:
            day = record.timestamp.astimezone(ZoneInfo(timezone)).date().isoformat()
            by["service"].setdefault(record.service_type or "unknown", []).append(record)
            by["day"].setdefault(day, []).append(record)
            if record.model_used:
                by["model"].setdefault(record.model_used, []).append(record)
        return UserUsage(
            user_id=user_id,
            records=total.records,
            credit_amount=total.credit_amount,
            reversed_credits=total.reversed_credits,
            token_count=total.token_count,
            tokens=total.tokens,
            by_service={name: _sums(group) for name, group in by["service"].items()},
            by_model={name: _sums(group) for name, group in by["model"].items()},
            by_day={name: _sums(group) for name, group in by["day"].items()},
        )

    def _usages_of(self, user_id: UserId, since: datetime, until: datetime) -> list[UsageRecord]:
        records = [read_usage(d) for d in self._store.documents_of("usages", user_id)]
        return [record for record in records if since <= record.timestamp < until]


def _place(record: UsageRecord) -> tuple[int, str]:
    return (record.timestamp - EPOCH) // timedelta(milliseconds=1), record.usage_id


def _read_cursor(cursor: str) -> tuple[int, str]:
    milliseconds, _, usage_id = cursor.partition(".o")  # As MongoDB's ids of ours are spelled.
    if not usage_id:
        raise ValueError("the cursor is not one that a page gave")
    return int(milliseconds), usage_id


def _sums(records: Iterable[UsageRecord]) -> UsageSums:
    known = list(records)
    return UsageSums(
        records=len(known),
        credit_amount=sum(record.credit_amount - record.reversed_credits for record in known),
        reversed_credits=sum(record.reversed_credits for record in known),
        token_count=sum(record.token_count or 0 for record in known),
        tokens=_tokens([record.tokens for record in known if record.tokens is not None]),
    )


def _tokens(told: list[TokenCounts]) -> TokenCounts | None:
    sums = {kind: sum(getattr(tokens, kind) for tokens in told) for kind in KINDS}
    return TokenCounts(**sums) if told else None


class MemoryOverview:
    """`Overview` over the documents of a `MemoryStore`, whose ids are text."""

    def __init__(self, store: MemoryStore) -> None:
        self._documents = store.collections["subscriptions"]
        self._store = store

    def owner_of(self, subscription_id: str) -> tuple[UserId, str] | None:
        self._store.enter("owner_of")
        document = self._documents.get(subscription_id.lower())
        return (UserId(document["user_id"]), subscription_id.lower()) if document else None

    def charged(self, usage_id: str) -> ChargedUsage | None:
        self._store.enter("charged")
        record = self._store.collections["usages"].get(usage_id.lower())
        if record is None or record.get("seq") is None:
            return None
        return ChargedUsage(UserId(record["user_id"]), record["service_type"])

    def subscription_page(self, query: SubscriptionPageQuery, now: datetime) -> SubscriptionPage:
        self._store.enter("subscription_page")
        if query.cursor == "":
            raise ValueError("the cursor is not one that a page gave")
        readable, _ = read_subscriptions(self._documents.values(), "UTC")
        owners = {d["_id"]: d["user_id"] for d in self._documents.values()}
        records = [subscription_record(owners[s.subscription_id], s, None, now) for s in readable]
        records = [r for r in records if query.status in (None, r.status)]
        records = [r for r in records if r.subscription_id > (query.cursor or "o")[1:]]
        records.sort(key=lambda record: record.subscription_id)
        page, rest = records[: query.limit], records[query.limit :]
        cursor = f"o{page[-1].subscription_id}" if rest else None
        return SubscriptionPage(items=page, next_cursor=cursor)

    def refusal_page(self, query: RefusalPageQuery, now: datetime) -> RefusalPage:
        self._store.enter("refusal_page")
        if query.cursor is not None and not query.cursor.isdecimal():
            raise ValueError("the cursor is not one that a page gave")
        entries = sorted(
            self._store.journal.values(),
            key=lambda e: (e.at, entry_id(e.user_id, e.seq)),
            reverse=True,
        )
        records = [record for entry in entries if (record := refusal_record(entry))]
        start = int(query.cursor or 0)
        end = start + query.limit
        return RefusalPage(
            items=records[start:end], next_cursor=str(end) if end < len(records) else None
        )

"""A store in memory: plain dicts of documents, and faults on demand.

Faults hold for the next call of their kind only: `fail_append`, `fail_views`, `fail_next`, and
`hold`, which stops a call at the door until its gate is opened. `unavailable` holds until unset.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any, Literal

from actors.mongo.accounts.loader import has_recent_days
from actors.mongo.instants import UNIX_START
from actors.protocol.store import (
    AppendInDoubtError,
    AppendRefusedError,
    Moment,
    StorageUnavailableError,
    ViewsTakenError,
)
from domain.charges import UsageRecorded
from domain.documents.days import told_fields
from domain.documents.journal import command_id, entry_id
from domain.documents.recovery import Stored
from domain.documents.views import AccountViews, DayView
from domain.messages import CreditsAdded, Entry, SubscriptionChanged, SubscriptionExpired, charge_in
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.stripe import GrantsVoided, StripeStateApplied
from domain.values import UserId, owned_id
from tests.fakes.memory_documents import (
    bring_holds_forward,
    bring_lapsed_forward,
    bring_pack_forward,
    day_key,
    empty_subscription,
    event_documents,
    follow,
    give_back,
    grant_document,
    new_pack,
    new_subscription,
    set_zone,
    take_back,
    usage_document,
)
from tests.patience import PATIENCE_SECONDS

GATE_SECONDS_MAX = PATIENCE_SECONDS  # A gate that a failed test left closed opens by itself.

AppendFault = Literal["in doubt, landed", "in doubt, lost", "in doubt, lands later"]
ViewsFault = Literal["lost", "landed"]


class Gate:
    """Stops one call of the store at the door."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def pass_through(self) -> None:
        self._reached.set()
        self._opened.wait(GATE_SECONDS_MAX)

    def wait_until_reached(self) -> None:
        assert self._reached.wait(GATE_SECONDS_MAX), "nobody came to the gate"

    def open(self) -> None:
        self._opened.set()


class MemoryStore:
    """A `Store`. Ids are text in every document."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.journal: dict[str, Entry] = {}
        self.calls: Counter[str] = Counter()
        self.batches: list[list[Entry]] = []
        """The appends that were asked for, refused ones included."""
        self.heard: list[Moment] = []
        self.unavailable = False
        self._keys: dict[str, Entry] = {}
        self._marks: dict[UserId, int] = {}
        self._clean: dict[str, datetime] = {}
        self._late: deque[list[Entry]] = deque()
        self._append_faults: deque[AppendFault] = deque()
        self._views_faults: deque[ViewsFault] = deque()
        self._failing: Counter[str] = Counter()
        self._gates: dict[str, Gate] = {}
        self._lock = threading.RLock()

    # --- faults -------------------------------------------------------------------------

    def fail_append(self, how: AppendFault) -> None:
        """Leave the next append in doubt."""
        self._append_faults.append(how)

    def land_late_appends(self) -> int:
        """Let the appends that were to land later land now. Returns how many were not refused."""
        landed = 0
        while self._late:
            try:
                self._append(self._late.popleft())
            except AppendRefusedError:
                continue
            landed += 1
        return landed

    def fail_views(self, how: ViewsFault) -> None:
        """Say `unavailable` to the next write of views, before or after it is done."""
        self._views_faults.append(how)

    def fail_next(self, call: str, times: int = 1) -> None:
        """Say `unavailable` to the next calls of this name."""
        self._failing[call] += times

    def hold(self, call: str) -> Gate:
        """Stop the next call of this name at the door."""
        gate = self._gates[call] = Gate()
        return gate

    def enter(self, call: str) -> None:
        """Count a call, stop it where it is to be held, fail it where it is to fail."""
        with self._lock:
            self.calls[call] += 1
            gate = self._gates.pop(call, None)
        if gate:
            gate.pass_through()
        with self._lock:
            fails = self._failing[call] > 0
            self._failing[call] -= fails
        if fails or self.unavailable:
            raise StorageUnavailableError(call) from ConnectionError("a fault was asked for")

    # --- the journal --------------------------------------------------------------------

    def hear(self, moment: Moment) -> None:
        """Note what later reads have to see."""
        self.heard.append(moment)

    def append(self, entries: Sequence[Entry]) -> None:
        self.batches.append(list(entries))
        self.enter("append")
        fault = self._append_faults.popleft() if self._append_faults else None
        if fault == "in doubt, lands later":
            self._late.append(list(entries))
        if fault in ("in doubt, lost", "in doubt, lands later"):
            raise AppendInDoubtError(fault)
        self._append(entries)
        if fault == "in doubt, landed":
            raise AppendInDoubtError(fault)

    def _append(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for landed, entry in enumerate(entries):
                if not self._enter(entry):
                    raise AppendRefusedError(entry.key, landed)

    def _enter(self, entry: Entry) -> bool:
        number, key = entry_id(entry.user_id, entry.seq), command_id(entry.user_id, entry.key)
        if number in self.journal or key in self._keys:
            return False
        self.journal[number] = entry
        self._keys[key] = entry
        return True

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> list[Entry]:
        self.enter("find_entries")
        with self._lock:
            ids = [command_id(user_id, key) for user_id, key in commands]
            return [self._keys[i] for i in ids if i in self._keys]

    def appended_since(self, since: datetime, until: datetime) -> set[UserId]:
        self.enter("appended_since")
        with self._lock:
            return {e.user_id for e in self.journal.values() if since <= e.at < until}

    # --- loading ------------------------------------------------------------------------

    def load(
        self, user_ids: Sequence[UserId], now: datetime, recalls: Recalls = NOTHING_BESIDE
    ) -> list[Stored]:
        self.enter("load")
        with self._lock:
            return [self._load(user_id, now, recalls) for user_id in user_ids]

    def _load(self, user_id: UserId, now: datetime, recalls: Recalls) -> Stored:
        mark = self._marks.get(user_id, 0)
        subscriptions = self.documents_of("subscriptions", user_id)
        lags = entry_id(user_id, mark + 1) in self.journal
        unfinished = [d["_id"] for d in subscriptions if lags or has_recent_days(d, now)]
        days = [
            dict(day)
            for day in self.collections["dailycredits"].values()
            if day["subscription_id"] in unfinished
        ]
        entries: list[Entry] = []
        while following := self.journal.get(entry_id(user_id, mark + len(entries) + 1)):
            entries.append(following)
        charges = self.documents_of("usages", user_id)
        lapsed = self.documents_of("allotment_lapsed_holds", user_id)
        return Stored(
            user_id,
            mark,
            subscriptions,
            days,
            entries,
            self.documents_of("packs", user_id),
            [charge for charge in charges if charge["_id"] in recalls.usages],
            [hold for hold in lapsed if hold["_id"] in recalls.holds],
        )

    def documents_of(self, collection: str, user_id: UserId) -> list[dict[str, Any]]:
        with self._lock:
            documents = self.collections[collection].values()
            return [dict(d) for d in documents if d.get("user_id") == user_id]

    # --- the views ----------------------------------------------------------------------

    def insert(self, collection: str, document: dict[str, Any]) -> None:
        """Insert a document as another program would."""
        key = str(document["_id"])
        if collection == "dailycredits":
            key = day_key(document["subscription_id"], document["date"])
        with self._lock:
            assert key not in self.collections[collection], "the id is taken"
            self.collections[collection][key] = document

    def write_views(self, views: Sequence[AccountViews]) -> None:
        self.enter("write_views")
        fault = self._views_faults.popleft() if self._views_faults else None
        if fault == "lost":
            raise StorageUnavailableError(fault)
        with self._lock:
            if any(self._is_taken(view) for view in views):
                raise ViewsTakenError({v.user_id: self._marks.get(v.user_id, 0) for v in views})
            for view in views:
                self._bring_forward(view)
        if fault == "landed":
            raise StorageUnavailableError(fault)

    def _is_taken(self, view: AccountViews) -> bool:
        usages = self.collections["usages"]
        return self._marks.get(view.user_id, 0) != view.after_seq or any(
            charge.usage_id in usages for charge in filter(None, map(_charge_of, view.usages))
        )

    def _bring_forward(self, view: AccountViews) -> None:
        self._marks[view.user_id] = view.applied_seq
        for entry in view.subscriptions:
            if isinstance(entry.change, CreditsAdded):
                self._add_grant(entry)
            else:
                self._change(entry)
        for day in view.days.values():
            self._touch_day(day, view.user_id)
        for entry in view.usages:
            document = usage_document(entry)
            self.collections["usages"][document["_id"]] = document
        self._write_rest(view)
        for entry in view.events:
            for event in event_documents(entry):
                self.collections["events"][event["_id"]] = event

    def _write_rest(self, view: AccountViews) -> None:
        packs = self.collections["packs"]
        for pack in view.packs.values():
            if pack.added is not None:
                self.insert("packs", new_pack(pack.added))
            if pack.pack_id in packs:  # Else another program has deleted it.
                bring_pack_forward(packs[pack.pack_id], pack)
        for reversal in view.reversals:
            if reversal.usage_id in self.collections["usages"]:
                record = self.collections["usages"][reversal.usage_id]
                give_back(record, reversal.reversed_credits)
        bring_lapsed_forward(self.collections["allotment_lapsed_holds"], view)

    def _add_grant(self, entry: Entry) -> None:
        change = entry.change
        assert isinstance(change, CreditsAdded), "additions are entries that add credits"
        subscription_id = change.opening.subscription_id
        if change.created:
            self.insert("subscriptions", new_subscription(entry, change))
        document = self.collections["subscriptions"].get(subscription_id)
        if document is None:  # Another program has deleted it.
            return
        system, spendable = change.system_portion_before, change.spendable_before
        before = {
            "total_credits": system + spendable,
            "system_portion": system,
            "spendable_credits": spendable,
        }
        added = {
            "total_credits": change.grant.amount,
            "system_portion": change.grant.system_portion,
            "spendable_credits": change.grant.spendable,
        }
        for field, amount in added.items():
            known = document.get(field)
            document[field] = (before[field] if known is None else known) + amount
        grants = [grant_document(g, None) for g in change.made_explicit]
        grants.append(grant_document(change.grant, change.payment))
        document["grants"] = [*(document.get("grants") or []), *grants]
        document["end_date"] = max(document["end_date"], change.end)
        if change.status is not None:
            document["status"] = str(change.status)
        document["applied_seq"] = entry.seq
        document["revision"] = document.get("revision", 0) + 1

    def _change(self, entry: Entry) -> None:
        change = entry.change
        if isinstance(change, StripeStateApplied) and change.created:
            self.insert("subscriptions", empty_subscription(entry, change))
        assert isinstance(
            change, SubscriptionChanged | SubscriptionExpired | StripeStateApplied | GrantsVoided
        )
        assert change.subscription_id is not None, "packs alone change no subscription"
        document = self.collections["subscriptions"].get(change.subscription_id)
        if document is None:
            return
        if isinstance(change, StripeStateApplied):
            follow(document, change)
        elif isinstance(change, GrantsVoided):
            take_back(document, change.voided)
        elif isinstance(change, SubscriptionChanged):
            document["status"] = str(change.status or document["status"])
            document["end_date"] = change.end or document["end_date"]
            document["changed_at"] = entry.at
            set_zone(document, change)
            if change.made_explicit:
                explicit = [grant_document(grant, None) for grant in change.made_explicit]
                document["grants"] = [*(document.get("grants") or []), *explicit]
        elif document["end_date"] <= entry.at:
            document["status"] = "expired"
        document["applied_seq"] = entry.seq
        document["revision"] = document.get("revision", 0) + 1

    def _touch_day(self, view: DayView, user_id: UserId) -> None:
        opening = view.opening
        key = day_key(opening.subscription_id, opening.starts_at)
        document = self.collections["dailycredits"].setdefault(
            key,
            {
                "_id": owned_id(opening.starts_at, user_id, token_hex(4)),
                "subscription_id": opening.subscription_id,
                "user_id": user_id,
                "date": opening.starts_at,
            },
        )
        used = document.get("credits_used", 0) + view.used
        document["credits_used"] = used if view.used >= 0 else max(0, used)
        if view.adjusted:
            document["credits_adjusted"] = document.get("credits_adjusted", 0) + view.adjusted
        document["credits_charged"] = document.get("credits_charged", 0) + view.used
        document["daily_credit_limit"] = opening.daily_credit_limit
        document["credits_rolled_over"] = opening.rolled_over
        document |= told_fields(view.told)
        document["applied_seq"] = view.applied_seq
        document["revision"] = document.get("revision", 0) + 1
        document.setdefault("credits_held", 0)
        bring_holds_forward(document, view)

    def clean_until(self) -> datetime | None:
        self.enter("clean_until")
        return min(self._clean.values(), default=None)

    def mark_clean(self, shard: str, until: datetime) -> None:
        self.enter("mark_clean")
        self._clean[shard] = until

    def begin_mark(self, shard: str) -> None:
        """Give a shard that is to be started its clean mark, as the oldest there is."""
        self._clean.setdefault(shard, min(self._clean.values(), default=UNIX_START))

    def end_mark(self, shard: str) -> None:
        """Take the mark of a shard that is gone: the others answer for what it may have left."""
        until = self._clean.pop(shard, None)
        if until is not None:
            self._clean = {name: min(mark, until) for name, mark in self._clean.items()}


def _charge_of(entry: Entry) -> UsageRecorded | None:
    return charge_in(entry.change)

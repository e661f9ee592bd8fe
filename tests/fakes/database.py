"""Views of the journal in plain dicts, written as a database would, and read back as `Stored`."""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.documents.days import told_fields
from domain.documents.recovery import Stored
from domain.documents.views import AccountViews, DayView, project
from domain.grants import Grant
from domain.messages import (
    CreditsAdded,
    Entry,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.stripe import GrantsVoided, StripeStateApplied
from domain.values import UserId
from tests.fakes.memory_documents import (
    bring_holds_forward,
    bring_lapsed_forward,
    bring_pack_forward,
    empty_subscription,
    follow,
    give_back,
    new_pack,
    set_zone,
    take_back,
    usage_document,
)

Document = dict[str, Any]


def grant_document(grant: Grant) -> Document:
    paid = {"transaction_id": grant.transaction_id} if grant.transaction_id else None
    return {
        "grant_id": grant.grant_id,
        "amount": grant.amount - grant.voided,
        "system_portion": grant.system_portion,
        "spendable_credits": grant.spendable,
        "from_day": grant.from_day.isoformat(),
        "days": grant.days,
        "payment": paid,
        "stripe_subscription_id": grant.stripe_subscription_id,
    }


@dataclass
class Database:
    """The collections of one user. Other programs may change every document at any time."""

    user_id: UserId
    applied_seq: int = 0
    subscriptions: dict[str, Document] = field(default_factory=dict)
    days: dict[tuple[str, datetime], Document] = field(default_factory=dict)
    packs: dict[str, Document] = field(default_factory=dict)
    records: dict[str, Document] = field(default_factory=dict)
    """The usage records, by id."""
    lapsed_holds: dict[str, Document] = field(default_factory=dict)

    @property
    def usages(self) -> list[int]:
        """The amounts that were charged, in order."""
        return [record["credit_amount"] for record in self.records.values()]

    def apply(self, entries: list[Entry]) -> None:
        """Write what consecutive entries change, in one go."""
        if not entries:
            return
        views = project(entries)
        assert views.after_seq == self.applied_seq
        for entry in views.subscriptions:
            if isinstance(entry.change, CreditsAdded):
                self._add(entry.change)
            else:
                self._change(entry)
        for key, day in views.days.items():
            self._touch(key, day)
        for entry in views.usages:
            record = usage_document(entry)
            self.records[record["_id"]] = record
        self._write_rest(views)
        self.applied_seq = views.applied_seq

    def _write_rest(self, views: AccountViews) -> None:
        for pack in views.packs.values():
            if pack.added is not None:
                self.packs[pack.pack_id] = new_pack(pack.added)
            if pack.pack_id in self.packs:
                bring_pack_forward(self.packs[pack.pack_id], pack)
        for reversal in views.reversals:
            if reversal.usage_id in self.records:
                give_back(self.records[reversal.usage_id], reversal.reversed_credits)
        bring_lapsed_forward(self.lapsed_holds, views)

    def stored(self, lagging: list[Entry], recalls: Recalls = NOTHING_BESIDE) -> Stored:
        """Return copies of all documents, and the entries that they lack.

        Of usage records and expired holds, those that are recalled.
        """
        usages = [record for name, record in self.records.items() if name in recalls.usages]
        lapsed = [hold for name, hold in self.lapsed_holds.items() if name in recalls.holds]
        return Stored(
            self.user_id,
            self.applied_seq,
            deepcopy(list(self.subscriptions.values())),
            deepcopy(list(self.days.values())),
            lagging,
            deepcopy(list(self.packs.values())),
            deepcopy(usages),
            deepcopy(lapsed),
        )

    def _add(self, change: CreditsAdded) -> None:
        _id = change.opening.subscription_id
        if change.created:
            self.subscriptions[_id] = {
                "_id": _id,
                "user_id": self.user_id,
                "start_date": change.start,
                "end_date": change.end,
                "total_credits": change.grant.amount,
                "system_portion": change.grant.system_portion,
                "spendable_credits": change.grant.spendable,
                "status": "active",
                "timezone": change.timezone,
                "grants": [grant_document(change.grant)],
            }
            return
        self._raise(self.subscriptions[_id], change)

    def _raise(self, document: Document, change: CreditsAdded) -> None:
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
        for name, amount in added.items():
            known = document.get(name)
            document[name] = (before[name] if known is None else known) + amount
        document["end_date"] = max(document["end_date"], change.end)
        if change.status is not None:
            document["status"] = str(change.status)
        grants = [*change.made_explicit, change.grant]
        document["grants"] = [*document.get("grants", []), *map(grant_document, grants)]

    def _change(self, entry: Entry) -> None:
        change = entry.change
        if isinstance(change, StripeStateApplied) and change.created:
            document = empty_subscription(entry, change)
            self.subscriptions[change.subscription_id] = document
        assert isinstance(
            change, SubscriptionChanged | SubscriptionExpired | StripeStateApplied | GrantsVoided
        )
        assert change.subscription_id is not None, "packs alone change no subscription"
        document = self.subscriptions[change.subscription_id]
        if isinstance(change, StripeStateApplied):
            follow(document, change)
        elif isinstance(change, GrantsVoided):
            take_back(document, change.voided)
        elif isinstance(change, SubscriptionChanged):
            document["status"] = change.status or document["status"]
            document["end_date"] = change.end or document["end_date"]
            set_zone(document, change)
            if change.made_explicit:
                explicit = map(grant_document, change.made_explicit)
                document["grants"] = [*document.get("grants", []), *explicit]
        elif document["end_date"] <= entry.at:
            document["status"] = "expired"

    def _touch(self, key: tuple[str, datetime], view: DayView) -> None:
        subscription_id, starts_at = key
        new = {"subscription_id": subscription_id, "date": starts_at, "credits_used": 0}
        document = self.days.setdefault(key, new)
        document["credits_used"] += view.used
        document["daily_credit_limit"] = view.opening.daily_credit_limit
        document["credits_rolled_over"] = view.opening.rolled_over
        if view.adjusted:
            document["credits_adjusted"] = document.get("credits_adjusted", 0) + view.adjusted
        bring_holds_forward(document, view)
        document |= told_fields(view.told)

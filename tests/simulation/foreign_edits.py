"""What another program does to the documents meanwhile. Every edit keeps them readable, or not."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tests.fakes.memory_documents import day_key
from tests.simulation.auditor import Auditor
from tests.simulation.database import SimulatedStore, SimulatedStream
from tests.simulation.foreign_packs import ForeignPacks

PACK_SHARE = 0.3  # Of edits.


class ForeignProgram:
    """Edits the documents of some users, and tells the auditor what it did to days."""

    def __init__(
        self,
        store: SimulatedStore,
        stream: SimulatedStream,
        auditor: Auditor,
        dice: random.Random,
        clock: Callable[[], datetime],
    ) -> None:
        self.edits = 0
        self._store = store
        self._stream = stream
        self._auditor = auditor
        self._dice = dice
        self._clock = clock
        self._ids = count(1)
        self._packs = ForeignPacks(store, stream, auditor, dice, clock)

    def edit(self) -> None:
        """Do one thing to one user's documents."""
        user_id = self._dice.choice(sorted(self._auditor.foreign))
        documents = self._store.collections["subscriptions"].values()
        mine = [d for d in documents if d["user_id"] == user_id]
        self.edits += 1
        if self._dice.random() < PACK_SHARE:
            self._packs.edit(user_id)
            return
        if not mine or self._dice.random() < 0.1:
            self._insert(user_id)
            return
        document = self._dice.choice(mine)
        edits = [self._raise, self._move_end, self._set_status, self._use_day, self._add_day]
        if self._dice.random() < 0.2:
            edits = [self._delete, self._delete_day, self._replace]
        self._dice.choice(edits)(document)

    def _insert(self, user_id: str) -> None:
        start = self._clock() - timedelta(hours=self._dice.randrange(1, 60))
        total = self._dice.randrange(100, 900)
        document = {
            "_id": f"{next(self._ids):024x}",
            "user_id": user_id,
            "start_date": start.astimezone(UTC).replace(microsecond=0),
            "end_date": start.replace(microsecond=0) + timedelta(days=self._dice.randrange(1, 9)),
            "total_credits": total,
            "system_portion": total // 10,
            "spendable_credits": total - total // 10,
            "status": "active",
        }
        self._store.insert("subscriptions", document)
        self._stream.changed("subscriptions", document, "insert")

    def _raise(self, document: dict[str, Any]) -> None:
        amount = self._dice.randrange(-20, 200)
        amount = max(amount, -document["spendable_credits"])
        document["total_credits"] += amount
        document["spendable_credits"] += amount
        self._stream.changed("subscriptions", document, "update")

    def _move_end(self, document: dict[str, Any]) -> None:
        document["end_date"] += timedelta(hours=self._dice.randrange(-30, 50))
        self._stream.changed("subscriptions", document, "update")

    def _set_status(self, document: dict[str, Any]) -> None:
        statuses = ("active", "active", "past_due", "paused", "cancelled", "bogus")
        document["status"] = self._dice.choice(statuses)
        self._stream.changed("subscriptions", document, "update")

    def _days_of(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        days = self._store.collections["dailycredits"].values()
        return [d for d in days if d["subscription_id"] == document["_id"]]

    def _use_day(self, document: dict[str, Any]) -> None:
        for day in self._days_of(document)[-1:]:
            amount = self._dice.randrange(1, 30)
            day["credits_used"] = day.get("credits_used", 0) + amount
            place = day["subscription_id"], day["date"]
            known = self._auditor.deltas.get(place, 0)
            self._auditor.deltas[place] = None if known is None else known + amount
            self._stream.changed("dailycredits", day, "update")

    def _add_day(self, document: dict[str, Any]) -> None:
        """Insert the document of yesterday, unless it is there."""
        at = self._clock().astimezone(UTC) - timedelta(days=1)
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        place = document["_id"], midnight
        days = self._store.collections["dailycredits"]
        if day_key(*place) in days or place in self._auditor.deltas:
            return
        day = {
            "_id": f"{next(self._ids):024x}",
            "subscription_id": document["_id"],
            "user_id": document["user_id"],
            "date": midnight,
            "credits_used": self._dice.randrange(1, 30),
        }
        self._store.insert("dailycredits", day)
        self._auditor.deltas[place] = day["credits_used"]
        self._stream.changed("dailycredits", day, "insert")

    def _delete(self, document: dict[str, Any]) -> None:
        del self._store.collections["subscriptions"][document["_id"]]
        self._stream.changed("subscriptions", document, "delete")

    def _delete_day(self, document: dict[str, Any]) -> None:
        for day in self._days_of(document)[-1:]:
            place = day["subscription_id"], day["date"]
            del self._store.collections["dailycredits"][day_key(*place)]
            self._auditor.deltas[place] = None
            self._stream.changed("dailycredits", day, "delete")

    def _replace(self, document: dict[str, Any]) -> None:
        document["total_credits"] += 10
        document["spendable_credits"] += 10
        document.pop("revision", None)
        self._stream.changed("subscriptions", document, "replace")

"""What another program does to packs meanwhile. Some edits make a document unreadable, or mend it."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from tests.simulation.auditor import Auditor
from tests.simulation.database import SimulatedStore, SimulatedStream, documents_of

CATEGORIES = ("paid", "promotional", "adjustment", "bogus")


class ForeignPacks:
    """Edits the packs of some users, and tells the auditor which it deleted."""

    def __init__(
        self,
        store: SimulatedStore,
        stream: SimulatedStream,
        auditor: Auditor,
        dice: random.Random,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._stream = stream
        self._auditor = auditor
        self._dice = dice
        self._clock = clock
        self._ids = count(1)

    def edit(self, user_id: str) -> None:
        """Do one thing to one pack of a user."""
        mine = documents_of(self._store, "packs", user_id)
        if not mine or self._dice.random() < 0.2:
            self._insert(user_id)
            return
        document = self._dice.choice(mine)
        if self._dice.random() < 0.15:
            self._delete(document)
            return
        self._dice.choice((self._raise, self._raise, self._sort, self._move_expiry))(document)
        self._stream.changed("packs", document, "update")

    def _insert(self, user_id: str) -> None:
        spendable = self._dice.randrange(1, 150)
        document = {
            "_id": f"e{next(self._ids):023x}",
            "user_id": user_id,
            "amount": spendable,
            "spendable_credits": spendable,
            "created_at": self._clock().replace(microsecond=0),
        }
        self._store.insert("packs", document)
        self._stream.changed("packs", document, "insert")

    def _raise(self, document: dict[str, Any]) -> None:
        """Have it give more or less, be it less than is used of it."""
        less = -min(60, document["spendable_credits"])
        amount = self._dice.randrange(less, 100)
        document["amount"] += amount
        document["spendable_credits"] += amount

    def _sort(self, document: dict[str, Any]) -> None:
        document["category"] = self._dice.choice(CATEGORIES)
        document["priority"] = self._dice.choice((0, 50, 100))

    def _move_expiry(self, document: dict[str, Any]) -> None:
        seconds = self._dice.choice((-5, 2, 20, 5_000))
        ends = self._clock().replace(microsecond=0) + timedelta(seconds=seconds)
        document["expires_at"] = None if self._dice.random() < 0.3 else ends

    def _delete(self, document: dict[str, Any]) -> None:
        del self._store.collections["packs"][document["_id"]]
        self._auditor.deltas["pack", document["_id"]] = None
        self._stream.changed("packs", document, "delete")

"""What warm starts and the janitor read of the simulated database."""

import pickle
from collections.abc import Collection, Generator, Sequence
from datetime import datetime

from actors.janitor.expiry import Ended, Page
from actors.janitor.hold_expiry import OverdueHold
from actors.janitor.pack_expiry import EndedPack
from actors.protocol.directory import slot_of
from actors.shard.broken_journals import load_past
from actors.shard.dormant import AnyRawAccount, RawAccount, RawAccountWithPacks
from actors.shard.warm_start import RawPage
from domain.documents.recovery import Stored
from domain.values import UserId, mark_of, owner_mark
from tests.simulation.majority import ReplicatedStore

PAGE_ACCOUNTS = 3


class SimulatedWarmth:
    """A `WarmSource` whose pages are as old as they may be: all are read at the beginning."""

    def __init__(self, store: ReplicatedStore) -> None:
        self._store = store

    def read(self, user_id: UserId, account: AnyRawAccount) -> Stored:
        subscriptions, days = pickle.loads(account.subscriptions), pickle.loads(account.days)
        packs = pickle.loads(account.packs) if account.packs else []
        return Stored(user_id, account.applied_seq, subscriptions, days, packs=packs)

    def of(self, users: Sequence[UserId], now: datetime) -> dict[UserId, AnyRawAccount]:
        self._store.enter("of")
        with self._store.reading():
            found = load_past("of", lambda some: self._store.load(some, now), users)
        return {
            stored.user_id: self._account(stored)[0]
            for stored in found
            if not stored.entries
            and any(document["end_date"] > now for document in stored.subscriptions)
        }

    def pages(self, slots: Collection[int], now: datetime) -> Generator[RawPage]:
        self._store.enter("pages")
        with self._store.reading():
            documents = self._store.collections["subscriptions"].values()
            users = dict.fromkeys(UserId(d["user_id"]) for d in documents if d["end_date"] > now)
            mine = [user_id for user_id in users if slot_of(user_id) in slots]
            found = [self._account(stored) for stored in self._store.load(mine, now)]
        for start in range(0, len(mine), PAGE_ACCOUNTS):
            self._store.enter("page")
            part = mine[start : start + PAGE_ACCOUNTS]
            accounts = found[start : start + PAGE_ACCOUNTS]
            yield RawPage(
                {u: account for u, (account, _) in zip(part, accounts, strict=True)},
                {u: ids for u, (_, ids) in zip(part, accounts, strict=True)},
            )

    def _account(self, stored: Stored) -> tuple[AnyRawAccount, list[str]]:
        mark = owner_mark(stored.user_id)
        ids = [str(d["_id"]) for d in (*stored.subscriptions, *stored.days, *stored.packs)]
        foreign = [i for i in ids if mark_of(i) != mark]
        packed = pickle.dumps(list(stored.subscriptions)), pickle.dumps(list(stored.days))
        if not stored.packs:
            return RawAccount(stored.applied_seq, *packed), foreign
        packs = pickle.dumps(list(stored.packs))
        return RawAccountWithPacks(stored.applied_seq, *packed, packs), foreign


class SimulatedEnds:
    """Names ended subscriptions, and holds that are over."""

    def __init__(self, store: ReplicatedStore) -> None:
        self._store = store

    def ended(self, now: datetime, limit: int, cursor: object | None) -> Page[Ended]:
        self._store.enter("ended")
        with self._store.reading():
            found = [
                Ended(UserId(d["user_id"]), d["_id"], d["end_date"])
                for d in self._store.collections["subscriptions"].values()
                if d["status"] in ("active", "past_due", "paused") and d["end_date"] <= now
            ]
        return Page(found, 0, None)

    def ended_packs(self, now: datetime, limit: int, cursor: object | None) -> Page[EndedPack]:
        self._store.enter("ended_packs")
        with self._store.reading():
            found = [
                EndedPack(UserId(d["user_id"]), d["_id"], d["expires_at"])
                for d in self._store.collections["packs"].values()
                if d.get("expires_at") is not None
                and d["expires_at"] <= now
                and d.get("expired_at") != d["expires_at"]
            ]
        return Page(found, 0, None)

    def overdue_holds(self, now: datetime, limit: int, cursor: object | None) -> Page[OverdueHold]:
        self._store.enter("overdue_holds")
        with self._store.reading():
            found = [
                OverdueHold(UserId(day["user_id"]), day["subscription_id"], hold["hold_id"])
                for day in self._store.collections["dailycredits"].values()
                for hold in day.get("holds") or ()
                if hold["expires_at"] <= now
            ]
            found += [
                OverdueHold(UserId(pack["user_id"]), None, hold["hold_id"])
                for pack in self._store.collections["packs"].values()
                for hold in pack.get("holds") or ()
                if hold["expires_at"] <= now
            ]
        return Page(found, 0, None)

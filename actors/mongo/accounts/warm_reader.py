"""Reads accounts as raw BSON, of many users at once: what nobody asks for is never decoded.

The few fields that sort documents (user, id, end) are cut out of the bytes.
"""

import contextlib
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import bson
from bson import ObjectId
from pymongo.client_session import ClientSession

from actors.mongo.accounts.all_subscriptions import AllSubscriptions
from actors.mongo.accounts.loader import BEYOND_NEWEST, RECENT
from actors.mongo.accounts.marks import FENCED, UNREADABLE
from actors.mongo.accounts.projections import DAY_FIELDS, PACK_FIELDS, SUBSCRIPTION_FIELDS
from actors.mongo.accounts.raw_bson import raw_found, split
from actors.mongo.accounts.raw_fields import (
    CHANGED,
    DECODED,
    EPOCH,
    SUBSCRIPTION,
    USER,
    end_of,
    foreign_ids_of,
    id_of,
    mark_in,
    milliseconds_of,
    raw_key_of,
    stored_key,
    user_named,
    value_of,
)
from actors.mongo.causality import Causality, moment_of
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import RANGES, others, stored_id, user_ids, with_end
from actors.mongo.references import References, with_ids_spelled
from actors.shard.dormant import AnyRawAccount, RawAccount, RawAccountWithPacks
from actors.shard.warm_start import Owned, RawPage, Subscriptions
from domain.documents.journal import entry_id
from domain.documents.recovery import Stored
from domain.values import UserId


class WarmReader:
    """The accounts in one database."""

    def __init__(
        self,
        database: Documents,
        causality: Causality | None = None,
        subscriptions: Subscriptions | None = None,
    ) -> None:
        """`causality`: of the process that reads, which may have written.

        `subscriptions`: who reads those of all users; None: this process itself.
        """
        self._database = database
        self._causality = causality or Causality(database)
        self._subscriptions = subscriptions or AllSubscriptions(database, self._causality)

    def read(self, user_id: UserId, account: AnyRawAccount) -> Stored:
        """Return what is stored of a user whose views are complete."""
        subscriptions = [dict(bson.decode(d, DECODED)) for d in split(account.subscriptions)]
        references = References(document["_id"] for document in subscriptions)
        days = [dict(bson.decode(d, DECODED)) for d in split(account.days)]
        return Stored(
            user_id,
            account.applied_seq,
            [*map(with_ids_spelled, subscriptions)],
            [*references.read(days)],
            packs=[with_ids_spelled(bson.decode(d, DECODED)) for d in split(account.packs)],
        )

    def of(self, users: Sequence[UserId], now: datetime) -> dict[UserId, AnyRawAccount]:
        """Return the accounts of these users that `pages` would yield and whose views are complete."""
        names = [name for user_id in users for name in user_ids(user_id)]
        with unavailable_on_error(), self._causality.reading() as session:
            reading = _Reading(self._database, session, now)
            found = _by_user(reading.find("subscriptions", "user_id", names, SUBSCRIPTION_FIELDS))
            for documents in found.values():
                documents.sort(key=_is_named_by_id)  # As `AllSubscriptions` has them.
            owned = (Owned(u, raw_key_of(stored_id(u)), found[u]) for u in users if u in found)
            return reading.without_entries(reading.page(owned).accounts)

    def pages(self, slots: Collection[int], now: datetime) -> Generator[RawPage]:
        """Yield the accounts with a subscription that has not ended, of the users in these slots."""
        with unavailable_on_error(), self._causality.reading() as session:
            reading = _Reading(self._database, session, now)
            moment = moment_of(session.operation_time)
            with contextlib.closing(self._subscriptions.of_slots(slots, moment)) as parts:
                for part in parts:
                    yield reading.page(part)


class _Named(NamedTuple):
    """A subscription whose days are wanted, and its user."""

    user_id: UserId
    document: bytes


class _Reading:
    """What one reading adds to subscriptions: marks, days and packs."""

    def __init__(self, database: Documents, session: ClientSession, now: datetime) -> None:
        self._database = database
        self._session = session
        self._now_ms = (now - EPOCH) // timedelta(milliseconds=1)
        self._has_texts: bool | None = None
        """Whether some day names its subscription by a text; None: nobody has looked yet."""

    def page(self, users: Iterable[Owned]) -> RawPage:
        """Return the accounts of those users who have a subscription that has not ended."""
        since = self._now_ms - RECENT // timedelta(milliseconds=1)
        current: list[Owned] = []
        with_days: dict[Any, _Named] = {}
        for owned in users:
            ends = [end_of(document) for document in owned.subscriptions]
            if max(ends) <= self._now_ms:
                continue
            current.append(owned)
            for document, end in zip(owned.subscriptions, ends, strict=True):
                if end > since or milliseconds_of(CHANGED, document) > since:
                    with_days[id_of(document)] = _Named(owned.user_id, document)
        days = self._days(with_days)
        marks = self._marks([owned.key for owned in current])
        packs = self._packs([owned.user_id for owned in current])
        accounts: dict[UserId, AnyRawAccount] = {}
        foreign_ids = {}
        for user_id, key, subscriptions in current:
            mark = marks.get(key, 0)
            if mark is None:
                continue
            own_days, own_packs = days.get(user_id, []), packs.get(user_id, [])
            account = RawAccount(mark, b"".join(subscriptions), b"".join(own_days))
            accounts[user_id] = account
            if own_packs:
                accounts[user_id] = RawAccountWithPacks(*account, b"".join(own_packs))
            foreign_ids[user_id] = foreign_ids_of(user_id, (*subscriptions, *own_days, *own_packs))
        return RawPage(accounts, foreign_ids)

    def without_entries(
        self, accounts: Mapping[UserId, AnyRawAccount]
    ) -> dict[UserId, AnyRawAccount]:
        """Return the accounts of which no entry follows their marks, nor one after a gap."""
        after = {
            entry_id(user_id, account.applied_seq + place): user_id
            for user_id, account in accounts.items()
            for place in range(1, BEYOND_NEWEST + 1)
        }
        found = self.find("allotment_journal", "_id", [*after], ["_id"])
        behind = {after[bson.decode(document)["_id"]] for document in found}
        return {u: account for u, account in accounts.items() if u not in behind}

    def _days(self, subscriptions: Mapping[Any, _Named]) -> dict[UserId, list[bytes]]:
        """Return the days by user.

        One that names its subscription in another type is its, too, unless there is a subscription
        with just this id.
        """
        days: dict[UserId, list[bytes]] = {}
        owners = {key: named.user_id for key, named in subscriptions.items()}
        ids = [value_of(key, named.document) for key, named in subscriptions.items()]
        if ids and self._has_texts is None:
            texts = {"subscription_id": with_end({"$gte": RANGES["text"]})}
            one = self._database.dailycredits.find_one(texts, ["_id"], session=self._session)
            self._has_texts = one is not None
        strange: dict[Any, Any] = {}
        for i in ids.copy():
            if self._has_texts or not isinstance(i, ObjectId):
                new = {raw_key_of(o): o for o in others(i) if raw_key_of(o) not in owners}
                owners |= dict.fromkeys(new, owners[raw_key_of(i)])
                strange |= new
        ids += strange.values()
        documents = self.find("dailycredits", "subscription_id", ids, DAY_FIELDS)
        found = [(SUBSCRIPTION.of(document), document) for document in documents]
        named = {key: strange[key] for key, _ in found if key in strange}
        for exact in self.find("subscriptions", "_id", [*named.values()], ["_id"]):
            owners.pop(id_of(exact), None)
        for key, document in found:
            owner = owners.get(key)
            if owner is not None:  # Else it is a stranger's, or names several.
                days.setdefault(owner, []).append(document)
        return days

    def _packs(self, users: Sequence[UserId]) -> dict[UserId, list[bytes]]:
        """Return the packs by user, whatever type names the user."""
        names = [name for user_id in users for name in user_ids(user_id)]
        return _by_user(self.find("packs", "user_id", names, PACK_FIELDS))

    def _marks(self, keys: Sequence[Any]) -> dict[Any, int | None]:
        """Return the marks; None: nobody knows what was decided about the account."""
        fields = ("applied_seq", UNREADABLE, FENCED)
        found = self.find("allotment_accounts", "_id", [*map(stored_key, keys)], fields)
        return {id_of(document): mark_in(document) for document in found}

    def find(
        self, collection: str, field: str, values: Sequence[Any], fields: Sequence[str]
    ) -> Iterable[bytes]:
        """Yield the documents whose field is one of the values."""
        return raw_found(self._database, collection, field, values, fields, self._session)


def _by_user(documents: Iterable[bytes]) -> dict[UserId, list[bytes]]:
    """Return documents by their users, without those that are nobody's, or name several."""
    found: dict[UserId, list[bytes]] = {}
    for document in documents:
        user_id = user_named(USER.of(document))
        if user_id is not None:
            found.setdefault(user_id, []).append(document)
    return found


def _is_named_by_id(document: bytes) -> bool:
    return isinstance(USER.of(document), bytes)

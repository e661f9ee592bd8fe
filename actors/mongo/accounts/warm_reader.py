"""Reads all accounts at once, as raw BSON: what nobody asks for is never decoded.

One cursor goes over the subscriptions in the order of their users. The few fields that sort
them (user, id, end) are cut out of the bytes.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

import bson
from bson import ObjectId
from pymongo.client_session import ClientSession

from actors.mongo.accounts.loader import RECENT
from actors.mongo.accounts.marks import FENCED, UNREADABLE
from actors.mongo.accounts.projections import DAY_FIELDS, PACK_FIELDS, SUBSCRIPTION_FIELDS
from actors.mongo.accounts.raw_bson import raw_batches, split
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
    moment_of,
    raw_key_of,
    stored_key,
    user_named,
    value_of,
)
from actors.mongo.causality import Causality
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import others, user_ids
from actors.mongo.references import References, with_ids_spelled
from actors.shard.dormant import AnyRawAccount, RawAccount, RawAccountWithPacks
from actors.shard.warm_start import RawPage
from domain.documents.recovery import Stored
from domain.values import UserId, is_object_id

SUBSCRIPTIONS_PER_PAGE = 1_000  # Read, looked up in the other collections, and handed on together.


class _Owned(NamedTuple):
    """One user's subscriptions, and how documents spell the user."""

    user_id: UserId
    key: Any
    subscriptions: list[bytes]


class _Named(NamedTuple):
    """A subscription whose days are wanted, and its user."""

    user_id: UserId
    document: bytes


class WarmReader:
    """The accounts in one database."""

    def __init__(self, database: Documents, causality: Causality | None = None) -> None:
        """`causality`: of the process that reads, which may have written."""
        self._database = database
        self._causality = causality or Causality(database)
        self._has_texts: bool | None = None
        """Whether some day names its subscription by a text; None: nobody has looked yet."""

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

    def pages(self, is_mine: Callable[[UserId], bool], now: datetime) -> Generator[RawPage]:
        """Yield the accounts with a subscription that has not ended, of users that are mine."""
        now_ms = (now - EPOCH) // timedelta(milliseconds=1)
        taken: set[bytes] = set()
        with unavailable_on_error(), self._causality.reading() as session:
            self._has_texts = None
            with contextlib.closing(self._users(session)) as batches:
                for users in batches:
                    own = [*self._merged(users, taken, session)]
                    yield self._page([o for o in own if is_mine(o.user_id)], now_ms, session)

    def _merged(
        self,
        users: Iterable[tuple[Any, list[bytes]]],
        taken: set[bytes],
        session: ClientSession,
    ) -> Iterator[_Owned]:
        """Yield users, each once: some are named by a text in one document, by an ObjectId in others.

        Texts come first, and the other documents with them; `taken` says whose those were.
        """
        named = [(key, user, ds) for key, ds in users if (user := user_named(key)) is not None]
        texts = [ObjectId(user) for key, user, _ in named if key == user and is_object_id(user)]
        more: dict[bytes, list[bytes]] = {}
        for batch in self._find("subscriptions", "user_id", texts, SUBSCRIPTION_FIELDS, session):
            for document in batch:
                more.setdefault(USER.of(document), []).append(document)
        for key, user_id, documents in named:
            mark_key = bytes.fromhex(user_id) if is_object_id(user_id) else key
            if key not in taken:
                yield _Owned(user_id, mark_key, documents + more.get(mark_key, []))
        taken.update(more)

    def _users(self, session: ClientSession) -> Generator[list[tuple[Any, list[bytes]]]]:
        """Yield users with all their subscriptions, a batch of the cursor's at a time."""
        batches = raw_batches(
            self._database,
            "subscriptions",
            {},
            SUBSCRIPTION_FIELDS,
            sort="user_id",
            batch_size=SUBSCRIPTIONS_PER_PAGE,
            session=session,
        )
        held: list[tuple[Any, list[bytes]]] = []
        with contextlib.closing(batches):
            for batch in batches:
                documents = ((USER.of(d), d) for d in batch)
                for user, group in groupby(documents, key=lambda pair: pair[0]):
                    subscriptions = [document for _, document in group]
                    if held and held[-1][0] == user:  # They began in the batch before.
                        held[-1][1].extend(subscriptions)
                    else:
                        held.append((user, subscriptions))
                yield held[:-1]
                del held[:-1]
        yield held

    def _page(self, users: Iterable[_Owned], now_ms: int, session: ClientSession) -> RawPage:
        """Add the marks and the days to the subscriptions of users."""
        since = now_ms - RECENT // timedelta(milliseconds=1)
        current: list[_Owned] = []
        with_days: dict[Any, _Named] = {}
        for owned in users:
            ends = [end_of(document) for document in owned.subscriptions]
            if max(ends) <= now_ms:
                continue
            current.append(owned)
            for document, end in zip(owned.subscriptions, ends, strict=True):
                if end > since or moment_of(CHANGED, document) > since:
                    with_days[id_of(document)] = _Named(owned.user_id, document)
        days = self._days(with_days, session)
        marks = self._marks([owned.key for owned in current], session)
        packs = self._packs([owned.user_id for owned in current], session)
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

    def _days(
        self, subscriptions: Mapping[Any, _Named], session: ClientSession
    ) -> dict[UserId, list[bytes]]:
        """Return the days by user. One that names its subscription in another type is its, too."""
        days: dict[UserId, list[bytes]] = {}
        owners = {key: named.user_id for key, named in subscriptions.items()}
        ids = [value_of(key, named.document) for key, named in subscriptions.items()]
        if ids and self._has_texts is None:
            texts = {"subscription_id": {"$gte": ""}}
            found = self._database.dailycredits.find_one(texts, ["_id"], session=session)
            self._has_texts = found is not None
        for i in ids.copy():
            if self._has_texts or not isinstance(i, ObjectId):
                new = [other for other in others(i) if raw_key_of(other) not in owners]
                owners |= dict.fromkeys(map(raw_key_of, new), owners[raw_key_of(i)])
                ids += new
        for batch in self._find("dailycredits", "subscription_id", ids, DAY_FIELDS, session):
            for document in batch:
                days.setdefault(owners[SUBSCRIPTION.of(document)], []).append(document)
        return days

    def _packs(self, users: Sequence[UserId], session: ClientSession) -> dict[UserId, list[bytes]]:
        """Return the packs by user, whatever type names the user."""
        packs: dict[UserId, list[bytes]] = {}
        names = [name for user_id in users for name in user_ids(user_id)]
        for batch in self._find("packs", "user_id", names, PACK_FIELDS, session):
            for document in batch:
                user_id = user_named(USER.of(document))
                assert user_id is not None, "it was found by its user"
                packs.setdefault(user_id, []).append(document)
        return packs

    def _marks(self, keys: Sequence[Any], session: ClientSession) -> dict[Any, int | None]:
        """Return the marks; None: nobody knows what was decided about the account."""
        fields = ("applied_seq", UNREADABLE, FENCED)
        return {
            id_of(document): mark_in(document)
            for batch in self._find(
                "allotment_accounts", "_id", [*map(stored_key, keys)], fields, session
            )
            for document in batch
        }

    def _find(
        self,
        collection: str,
        field: str,
        values: Sequence[Any],
        fields: Sequence[str],
        session: ClientSession,
    ) -> Iterator[list[bytes]]:
        """Yield the documents whose field is one of the values, a batch at a time."""
        for start in range(0, len(values), SUBSCRIPTIONS_PER_PAGE):
            where = {field: {"$in": values[start : start + SUBSCRIPTIONS_PER_PAGE]}}
            yield from raw_batches(self._database, collection, where, fields, session=session)

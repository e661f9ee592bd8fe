"""Reads the subscriptions of all users, as raw BSON: what nobody asks for is never decoded.

They are read in the order of their users, page by page. The field that sorts them is cut out of the bytes.
"""

import contextlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession

from actors.mongo.accounts.projections import SUBSCRIPTION_FIELDS
from actors.mongo.accounts.raw_bson import raw_batches, raw_found
from actors.mongo.accounts.raw_fields import USER, stored_key, user_named
from actors.mongo.causality import Causality
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import RANGES, with_end
from actors.protocol.directory import slot_of
from actors.protocol.store import Moment
from actors.shard.warm_start import Owned
from domain.values import is_object_id

SUBSCRIPTIONS_PER_PAGE = 50_000  # Asked for by one query,
SUBSCRIPTIONS_PER_BATCH = 1_000  # and sent together.

_Spelled = tuple[Any, list[bytes]]
"""A user as documents spell it, and the documents."""


class AllSubscriptions:
    """The subscriptions in one database, as every shard could read them for itself."""

    def __init__(self, database: Documents, causality: Causality) -> None:
        """`causality`: of the process that reads, which may have written."""
        self._database = database
        self._causality = causality

    def of_slots(self, slots: Collection[int], moment: Moment | None) -> Generator[list[Owned]]:
        """Yield those of the users in these slots. See `Subscriptions`."""
        with contextlib.closing(self.batches([moment])) as batches:
            for batch in batches:
                yield [owned for owned in batch if slot_of(owned.user_id) in slots]

    def batches(self, moments: Iterable[Moment | None]) -> Generator[list[Owned]]:
        """Yield users, each once, with all their subscriptions as they were at these moments or later.

        Blocks at each step; StorageUnavailableError. To be closed where it is not read to its end.
        """
        for moment in moments:
            if moment is not None:
                self._causality.hear(moment)
        taken: set[bytes] = set()
        with (
            unavailable_on_error(),
            self._causality.reading() as session,
            contextlib.closing(self._users(session)) as batches,
        ):
            for users in batches:
                yield [*self._merged(users, taken, session)]

    def _merged(
        self,
        users: Iterable[_Spelled],
        taken: set[bytes],
        session: ClientSession,
    ) -> Iterator[Owned]:
        """Yield users, each once: some are named by a text in one document, by an ObjectId in others.

        Texts come first, and the other documents with them; `taken` says whose those were.
        """
        named = [(key, user, ds) for key, ds in users if (user := user_named(key)) is not None]
        texts = [ObjectId(user) for key, user, _ in named if key == user and is_object_id(user)]
        more: dict[bytes, list[bytes]] = {}
        for document in self._of_users(texts, session):
            more.setdefault(USER.of(document), []).append(document)
        for key, user_id, documents in named:
            mark_key = bytes.fromhex(user_id) if is_object_id(user_id) else key
            if key not in taken:
                yield Owned(user_id, mark_key, documents + more.get(mark_key, []))
        taken.update(more)

    def _users(self, session: ClientSession) -> Generator[list[_Spelled]]:
        """Yield users with all their subscriptions, a batch of a page at a time: first texts."""
        for least in (RANGES["text"], RANGES["object_id"]):
            after: dict[str, Any] | None = {"$gte": least}
            while after is not None:
                after = yield from self._page(after, session)

    def _page(
        self, after: Mapping[str, Any], session: ClientSession
    ) -> Generator[list[_Spelled], None, dict[str, Any] | None]:
        """Yield the next users in this range; return where the next page begins, if there is one.

        Some servers make all of an answer before they send the first of it: that of a page takes them
        no longer than a call may.
        """
        batches = raw_batches(
            self._database,
            "subscriptions",
            {"user_id": with_end(after)},
            SUBSCRIPTION_FIELDS,
            sort="user_id",
            limit=SUBSCRIPTIONS_PER_PAGE,
            batch_size=SUBSCRIPTIONS_PER_BATCH,
            session=session,
        )
        held: list[_Spelled] = []
        last: str | bytes | None = None
        number = 0
        with contextlib.closing(batches):
            for batch in batches:
                number += len(batch)
                documents = ((USER.of(d), d) for d in batch)
                for user, group in groupby(documents, key=lambda pair: pair[0]):
                    last = user if isinstance(user, str | bytes) else last
                    subscriptions = [document for _, document in group]
                    if held and held[-1][0] == user:  # They began in the batch before.
                        held[-1][1].extend(subscriptions)
                    else:
                        held.append((user, subscriptions))
                yield held[:-1]
                del held[:-1]
        if number < SUBSCRIPTIONS_PER_PAGE or last is None:
            yield held
            return None
        named = stored_key(last)  # Of this one there may be more.
        yield [(last, [*self._of_users([named], session)])]
        return {"$gt": named}

    def _of_users(self, users: Sequence[Any], session: ClientSession) -> Iterator[bytes]:
        return raw_found(
            self._database, "subscriptions", "user_id", users, SUBSCRIPTION_FIELDS, session
        )

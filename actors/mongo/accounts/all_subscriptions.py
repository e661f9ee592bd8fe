"""Reads the subscriptions of all users, as raw BSON: what nobody asks for is never decoded.

One cursor goes over them in the order of their users. The field that sorts them is cut out of the bytes.
"""

import contextlib
from collections.abc import Collection, Generator, Iterable, Iterator
from itertools import groupby
from typing import Any

from bson import ObjectId
from pymongo.client_session import ClientSession

from actors.mongo.accounts.projections import SUBSCRIPTION_FIELDS
from actors.mongo.accounts.raw_bson import raw_batches, raw_found
from actors.mongo.accounts.raw_fields import USER, user_named
from actors.mongo.causality import Causality
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.protocol.directory import slot_of
from actors.protocol.store import Moment
from actors.shard.warm_start import Owned
from domain.values import is_object_id

SUBSCRIPTIONS_PER_BATCH = 1_000


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
        users: Iterable[tuple[Any, list[bytes]]],
        taken: set[bytes],
        session: ClientSession,
    ) -> Iterator[Owned]:
        """Yield users, each once: some are named by a text in one document, by an ObjectId in others.

        Texts come first, and the other documents with them; `taken` says whose those were.
        """
        named = [(key, user, ds) for key, ds in users if (user := user_named(key)) is not None]
        texts = [ObjectId(user) for key, user, _ in named if key == user and is_object_id(user)]
        more: dict[bytes, list[bytes]] = {}
        for document in raw_found(
            self._database, "subscriptions", "user_id", texts, SUBSCRIPTION_FIELDS, session
        ):
            more.setdefault(USER.of(document), []).append(document)
        for key, user_id, documents in named:
            mark_key = bytes.fromhex(user_id) if is_object_id(user_id) else key
            if key not in taken:
                yield Owned(user_id, mark_key, documents + more.get(mark_key, []))
        taken.update(more)

    def _users(self, session: ClientSession) -> Generator[list[tuple[Any, list[bytes]]]]:
        """Yield users with all their subscriptions, a batch of the cursor's at a time."""
        batches = raw_batches(
            self._database,
            "subscriptions",
            {},
            SUBSCRIPTION_FIELDS,
            sort="user_id",
            batch_size=SUBSCRIPTIONS_PER_BATCH,
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

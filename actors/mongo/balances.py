"""What an application's own collection says its users have: read for `allotment import`.

Nothing is changed there. A document that names no user, or no amount that could be given, is told
with its id and the reason, and ends nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import name_of, read_user_id
from domain.documents.subscriptions import UnreadableError, amount
from domain.values import Credits, UserId

PAGE = 1_000  # Documents that the server sends at once.
NAME_LENGTH_MAX = 120  # What is shown of an id.


@dataclass(frozen=True, slots=True)
class Balance:
    """What one document says that a user has."""

    name: str
    """The id of the document, as it is shown."""
    key: str
    """Made of the collection and the id with its type: the same whenever it is read."""
    user_id: UserId
    credits: Credits


@dataclass(frozen=True, slots=True)
class UnreadBalance:
    """A document of which nothing can be given, and why."""

    name: str
    reason: str


class Balances:
    """The balances in one collection. Every call may raise StorageUnavailableError."""

    def __init__(
        self, database: Documents, collection: str, *, user_field: str, credits_field: str
    ) -> None:
        self._database = database
        self._collection = collection
        self._user_field = user_field
        self._credits_field = credits_field

    @property
    def is_there(self) -> bool:
        """Whether the collection exists."""
        with unavailable_on_error():
            return self._collection in self._database.list_collection_names()

    def read(self) -> Iterator[Balance | UnreadBalance]:
        """Yield what each document says, in no particular order."""
        fields = dict.fromkeys(shortest({"_id", self._user_field, self._credits_field}), 1)
        with unavailable_on_error():
            for document in self._database[self._collection].find({}, fields).batch_size(PAGE):
                yield self._balance(document)

    def _balance(self, document: Mapping[str, Any]) -> Balance | UnreadBalance:
        name = name_of(document["_id"])[:NAME_LENGTH_MAX]
        try:
            user_id = read_user_id(value_at(document, self._user_field))
            credit = amount(value_at(document, self._credits_field), self._credits_field)
        except (UnreadableError, ValueError) as error:
            return UnreadBalance(name, str(error))
        return Balance(name, self._key(document["_id"]), user_id, Credits(credit))

    def _key(self, document_id: object) -> str:
        kind = type(document_id).__name__
        named = f"{self._database.name}.{self._collection}\n{kind}\n{name_of(document_id)}"
        return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def value_at(document: Mapping[str, Any], path: str) -> object:
    """Return what a document has at a path with dots; None: nothing."""
    value: object = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def shortest(paths: set[str]) -> set[str]:
    """Return paths without those that lie within another one: MongoDB takes no such pair."""
    return {p for p in paths if not any(p.startswith(f"{other}.") for other in paths)}

"""Which days belong to which subscriptions, whatever type the reference is stored in.

What is handed on names subscriptions by the spelling of their `_id`, in both kinds of documents.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bson import ObjectId

from actors.mongo.ids import key_of, name_of, others, spelled
from domain.documents.holds import OUT_OF_REACH

Document = dict[str, Any]


class References:
    """What the days of some subscriptions may name them by."""

    def __init__(self, ids: Iterable[Any]) -> None:
        """`ids`: of the subscriptions, as they are stored."""
        self._exact = {key_of(i): i for i in ids}
        self._others: dict[Hashable, Any] = {}
        self._named: list[Any] = [*self._exact.values()]
        for i in self._exact.values():
            for other in others(i):
                if key_of(other) not in self._exact:
                    self._others[key_of(other)] = i
                    self._named.append(other)

    @property
    def values(self) -> Sequence[Any]:
        """What `subscription_id` of their days may be."""
        return self._named

    def strangers(self, days: Iterable[Document]) -> list[Any]:
        """Return the references that may be to other subscriptions, which have exactly that id."""
        named = (day.get("subscription_id") for day in days)
        return [i for i in named if key_of(i) in self._others]

    def leave_out(self, ids: Iterable[Any]) -> None:
        """Leave out the days of subscriptions that have exactly these ids."""
        for i in ids:
            self._others.pop(key_of(i), None)

    def of(self, day: Mapping[str, Any]) -> Any:
        """Return the id of the subscription that a day belongs to; None: of none of these."""
        key = key_of(day.get("subscription_id"))
        return self._exact.get(key, self._others.get(key))

    def read(self, days: Iterable[Document]) -> Iterator[Document]:
        """Yield the days of these subscriptions with their ids spelled.

        What is held in a day is not ours to free where its reference has another type than the
        subscription's id: no view of ours reaches it.
        """
        for day in days:
            subscription_id = self.of(day)
            if subscription_id is None:
                continue
            if key_of(day["subscription_id"]) not in self._exact and day.get("holds") is not None:
                day["holds"] = OUT_OF_REACH
            ids = {"_id": name_of(day.get("_id")), "subscription_id": name_of(subscription_id)}
            yield day | ids


def by_user(documents: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return documents by the text of their user's id."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for document in documents:
        found.setdefault(str(document.get("user_id")), []).append(document)
    return found


def with_ids_spelled(subscription: Mapping[str, Any]) -> Document:
    """Return a subscription document with its ids spelled, as far as they are kept."""
    name = spelled(subscription["_id"])
    read = {**subscription, "_id": subscription["_id"] if name is None else name}
    if isinstance(read.get("grants"), list):
        read["grants"] = [_grant(grant) for grant in read["grants"]]
    return read


def _grant(grant: Any) -> Any:
    if not isinstance(grant, dict):
        return grant
    grant_id = grant.get("grant_id") or grant.get("_id")  # Mongoose gives parts an `_id`.
    if not grant_id or isinstance(grant_id, ObjectId):
        return grant
    return grant | {"grant_id": name_of(grant_id)}

"""Endpoints of webhooks in MongoDB: `allotment_endpoints`, one document each, with its place."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Int64
from pymongo.errors import DuplicateKeyError

from actors.events.endpoints import CONSUMER, Endpoint, FirstAnswer, SigningSecret
from actors.events.signatures import check_secret
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.events import HEAD_ID

WITH_KEY, WITHOUT = "key ", "none "
"""What `once` begins with: no two endpoints were made with one idempotency key."""

logger = logging.getLogger(__name__)


class MongoEndpoints:
    """An `EndpointStore`."""

    def __init__(self, database: Documents) -> None:
        self._endpoints = database.allotment_endpoints
        self._relay = database.allotment_relay
        self._dead = database.allotment_dead_letters

    def insert(self, endpoint: Endpoint, first: FirstAnswer | None) -> bool:
        """Keep a new endpoint; False: another was made with this key."""
        once = WITHOUT + endpoint.endpoint_id
        answer: dict[str, Any] = {}
        if first is not None:
            once = WITH_KEY + first.key
            answer = {"fingerprint": first.fingerprint, "answer": first.text}
        with unavailable_on_error():
            head = self._relay.find_one({"_id": HEAD_ID}) or {}
            place = {"done_until": Int64(head.get("order", 0)), "done": []}
            named = {"_id": endpoint.endpoint_id, "once": once}
            try:
                self._endpoints.insert_one(named | _fields(endpoint) | place | answer)
            except DuplicateKeyError:
                return False
        return True

    def first_answer(self, key: str) -> FirstAnswer | None:
        """Return what the request of an idempotency key was answered, while its endpoint is there."""
        with unavailable_on_error():
            document = self._endpoints.find_one({"once": WITH_KEY + key})
        if document is None:
            return None
        return FirstAnswer(key, document["fingerprint"], document["answer"])

    def list(self) -> list[Endpoint]:
        """Return all endpoints that can be read, the oldest first."""
        with unavailable_on_error():
            documents = list(self._endpoints.find())
        found = [endpoint for endpoint in map(_read, documents) if endpoint is not None]
        return sorted(found, key=lambda endpoint: (endpoint.created_at, endpoint.endpoint_id))

    def find(self, endpoint_id: str) -> Endpoint | None:
        """Return one endpoint."""
        with unavailable_on_error():
            document = self._endpoints.find_one({"_id": endpoint_id})
        return None if document is None else _read(document)

    def replace(self, old: Endpoint, new: Endpoint) -> bool:
        """Keep a change, if nobody has changed the endpoint or removed it since it was read."""
        where = {"_id": old.endpoint_id, "version": old.version}
        with unavailable_on_error():
            changed = self._endpoints.update_one(where, {"$set": _fields(new)})
        return changed.matched_count == 1

    def remove(self, endpoint_id: str) -> bool:
        """Remove an endpoint, with its place and its dead letters; False: there is none."""
        with unavailable_on_error():
            removed = self._endpoints.delete_one({"_id": endpoint_id}).deleted_count == 1
            self._dead.delete_many({"consumer": CONSUMER + endpoint_id})
        return removed


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url,
        "events": list(endpoint.events),
        "enabled": endpoint.enabled,
        "secrets": [{"secret": secret, "until": until} for secret, until in endpoint.secrets],
        "created_at": endpoint.created_at,
        "changed_at": endpoint.changed_at,
        "version": endpoint.version,
    }


def _read(document: Mapping[str, Any]) -> Endpoint | None:
    """Return an endpoint; None: another program has made of it what cannot be read."""
    try:
        return Endpoint(
            str(document["_id"]),
            str(document["url"]),
            tuple(map(str, document["events"])),
            document["enabled"] is True,
            _read_secrets(document["secrets"]),
            _moment(document["created_at"]),
            _moment(document["changed_at"]),
            int(document["version"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        logger.warning("the endpoint %r cannot be read", document.get("_id"))
        return None


def _read_secrets(said: Any) -> tuple[SigningSecret, ...]:
    """Return secrets, of which the last one goes on. Raises KeyError, TypeError, ValueError."""
    found = [
        SigningSecret(one["secret"], None if one["until"] is None else _moment(one["until"]))
        for one in said
    ]
    for secret in found:
        check_secret(secret.text)
    if not found or found[-1].until is not None:
        raise ValueError("no secret goes on")
    return tuple(found)


def _moment(said: Any) -> datetime:
    if not isinstance(said, datetime):
        raise TypeError
    return said

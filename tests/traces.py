"""Looks for a user's id in everything that a database holds, in every form that ours takes."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bson import ObjectId

from domain.events import event_id
from domain.values import UserId

SEQ_MAX, PLACE_MAX = 300, 4  # Of the entries whose events' ids are looked for.


def traces(database: Any, user_id: str) -> list[str]:
    """Return where a user is named: collection, id of the document, path."""
    forms = forms_of(user_id)
    return [
        f"{name} {document['_id']}: {path}"
        for name in sorted(database.list_collection_names())
        for document in database[name].find()
        for path in paths(document, forms)
    ]


def forms_of(user_id: str) -> list[str]:
    """Return the texts in which an id may hide: as such, in hold ids, in the ids of events."""
    name = base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")
    escaped = json.dumps(user_id)[1:-1]
    events = (
        event_id(UserId(user_id), seq, place)
        for seq in range(1, SEQ_MAX)
        for place in range(PLACE_MAX)
    )
    return [user_id, escaped, f".{name}.", *events]


def paths(value: Any, forms: list[str], at: str = "") -> Iterator[str]:
    """Yield the places in a value that have one of the forms in them, keys of objects included."""
    if isinstance(value, Mapping):
        for name, held in value.items():
            yield from paths(str(name), forms, f"{at}.{name} (name)")
            yield from paths(held, forms, f"{at}.{name}")
    elif isinstance(value, list | tuple):
        for index, held in enumerate(value):
            yield from paths(held, forms, f"{at}[{index}]")
    elif any(form in _text(value) for form in forms):
        yield at


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, str | ObjectId) else ""

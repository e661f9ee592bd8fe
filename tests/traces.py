"""Looks for a user's id in everything that a database holds, in every form that ours takes."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bson import ObjectId

from domain.events import event_id
from domain.values import UserId

EVENT_ID = re.compile(r"evt_[0-9a-f]{32}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
SEQ_MAX, PLACE_MAX = 5_000, 4  # Of the entries whose events' ids are looked for.


def traces(database: Any, user_id: str) -> list[str]:
    """Return where a user is named: collection, id of the document, path."""
    forms = Forms.of(user_id)
    return [
        f"{name} {document['_id']}: {path}"
        for name in sorted(database.list_collection_names())
        for document in database[name].find()
        for path in paths(document, forms)
    ]


class Forms(NamedTuple):
    """The texts in which a user's id may hide."""

    number: re.Pattern[str] | None
    """Of an id of digits: itself as a word. Dates and ids of documents have the digits, too."""
    parts: tuple[str, ...]
    """As such, as JSON spells it, as the ids of holds do."""
    events: frozenset[str]
    """The ids of events are digests of it."""

    @classmethod
    def of(cls, user_id: str) -> "Forms":
        """Return the forms of an id."""
        name = base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")
        escaped = json.dumps(user_id)[1:-1]
        is_number = user_id.isascii() and user_id.isdigit()
        number = re.compile(rf"\b{user_id}\b") if is_number else None
        plain = () if is_number else (user_id, escaped)
        places = ((seq, place) for seq in range(1, SEQ_MAX) for place in range(PLACE_MAX))
        events = frozenset(event_id(UserId(user_id), *place) for place in places)
        return cls(number, (*plain, f".{name}."), events)

    def are_in(self, text: str) -> bool:
        """Say whether a text has one of them in it."""
        is_event = "evt_" in text and not self.events.isdisjoint(EVENT_ID.findall(text))
        return is_event or self._has_number(text) or any(part in text for part in self.parts)

    def _has_number(self, text: str) -> bool:
        if self.number is None:
            return False
        if text.startswith("{"):  # In JSON, a number without quotes is an amount.
            return any(self.number.search(INSTANT.sub("", said)) for said in QUOTED.findall(text))
        return self.number.search(INSTANT.sub("", text)) is not None


def paths(value: Any, forms: Forms, at: str = "") -> Iterator[str]:
    """Yield the places in a value that have one of the forms in them, keys of objects included."""
    if isinstance(value, Mapping):
        for name, held in value.items():
            yield from paths(str(name), forms, f"{at}.{name} (name)")
            yield from paths(held, forms, f"{at}.{name}")
    elif isinstance(value, list | tuple):
        for index, held in enumerate(value):
            yield from paths(held, forms, f"{at}[{index}]")
    elif forms.are_in(_text(value)):
        yield at


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(value, str | ObjectId) else ""

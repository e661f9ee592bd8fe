"""Entries of the journal that somebody has edited by hand, and two users to whom it happens."""

from collections.abc import Mapping
from typing import Any

from domain.documents.journal import entry_id
from domain.values import UserId
from tests.builders.authors import Author, write
from tests.fakes.setups import MongoSetup

ANN, BOB = UserId("ann"), UserId("bob")
GONE: Any = object()
SPOILT: Mapping[str, Mapping[str, Any]] = {
    "an empty body": {"body": {}},
    "the body of nothing": {"body": "{}"},
    "a body that is no JSON": {"body": "{"},
    "a body of another kind": {"kind": "hold_placed"},
    "no body": {"body": GONE},
    "a kind of a newer version": {"kind": "dreams_recorded"},
    "a kind that is no text": {"kind": {"of": "nothing"}},
    "an instant that is a text": {"at": "2026-03-10"},
    "no instant": {"at": GONE},
    "a number that is a text": {"seq": "2"},
    "another number": {"seq": 99},
    "another user": {"user_id": "bob"},
    "no user": {"user_id": GONE},
    "another key": {"key": "another"},
    "no key": {"key": GONE},
    "a fingerprint that is a number": {"fingerprint": 5},
    "another command": {"command_id": "bob another"},
    "a body that is nested too deep": {"body": "[" * 100_000},
    "no command": {"command_id": GONE},
    "events that are none": {"events": [{"type": 7}]},
    "events that are no list": {"events": 7},
    "an unknown event": {"events": [{"type": "odd", "subscription_id": "s", "data": {}}]},
    "a body that comes to nothing": {"body": GONE, "kind": GONE, "answer": GONE},
}
"""What can become of an entry, by what is in its fields then."""

KEEP_THEIR_ANSWER = [
    name
    for name, fields in SPOILT.items()
    if not fields.keys() & {"answer", "fingerprint", "command_id"}
]


def spoil(setup: MongoSetup, seq: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Spoil an entry of Ann's, and return it as it was."""
    where = {"_id": entry_id(ANN, seq)}
    journal = setup.database.allotment_journal
    before: dict[str, Any] = journal.find_one(where) or {}
    new = {name: value for name, value in fields.items() if value is not GONE}
    old = {name: "" for name, value in fields.items() if value is GONE}
    assert new or old
    journal.update_one(where, ({"$set": new} if new else {}) | ({"$unset": old} if old else {}))
    return before


def mend(setup: MongoSetup, entry: dict[str, Any]) -> None:
    setup.database.allotment_journal.replace_one({"_id": entry["_id"]}, entry)


def lagging(setup: MongoSetup) -> None:
    """Give both users credits, and Ann charges of 30, 4 and 5 that no view contains."""
    ann, bob = Author(ANN), Author(BOB)
    write(setup.store, [ann.add(), bob.add()])
    setup.store.append([ann.use(30), ann.use(4), ann.use(5)])


def written(setup: MongoSetup) -> None:
    """Give both users credits and a charge of 30 each, all of it in the views."""
    ann, bob = Author(ANN), Author(BOB)
    write(setup.store, [ann.add(), bob.add(), ann.use(30), bob.use(30)])

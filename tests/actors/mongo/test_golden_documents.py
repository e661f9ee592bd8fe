"""What this version has left in MongoDB is read by later ones to what it was."""

import json
from dataclasses import replace
from typing import Any

import pytest

from domain.documents.journal import read_entry
from domain.fingerprints import fingerprint, is_fingerprint_of
from domain.holds import HoldFreed
from domain.messages import Command, Entry
from tests.fakes.setups import MongoSetup
from tests.golden.comparing import differences, read_typed
from tests.golden.life import HALF, JOURNAL, joined, journal, life, readings, views

ENTRIES = read_typed("entries.json")
*DOCUMENTS, READ = read_typed("documents.json")


DECIDED: list[tuple[Entry, Command]] = [
    pair for diary in (life(), joined()) for pair in zip(diary.entries, diary.commands, strict=True)
]
"""What is decided today, and of what."""

ALL = len(life().entries)
KNOWN_TYPES = frozenset(event["type"] for document in ENTRIES for event in document["events"])


def opened(document: dict[str, Any]) -> dict[str, Any]:
    """Return an entry's document with its texts read: fields may be added to both."""
    answer = document["answer"]
    return document | {
        "fingerprint": "",  # Another test holds it to its command.
        "body": json.loads(document["body"]),
        "answer": None if answer is None else json.loads(answer),
        "events": [event for event in document["events"] if event["type"] in KNOWN_TYPES],
    }


def as_before(entry: Entry) -> Entry:
    """Return what is compared of an entry: what it tells of that nobody told before is more."""
    known = tuple(replace(event, data="") for event in entry.events if event.type in KNOWN_TYPES)
    change = entry.change
    if isinstance(change, HoldFreed):  # It did not say yet that it can be settled late.
        change = replace(change, lapsed=None)
    return replace(entry, answer=None, fingerprint="", events=known, change=change)


def test_entries_are_read_to_what_is_decided_today() -> None:
    decided = [as_before(entry) for entry, _ in DECIDED]

    read = [as_before(read_entry(document)) for document in ENTRIES]

    assert read == decided


def test_entries_are_written_with_all_that_they_had() -> None:
    written = journal([entry for entry, _ in DECIDED])

    golden = list(map(opened, ENTRIES))
    assert not list(differences(golden, list(map(opened, written))))


@pytest.mark.parametrize("place", range(len(ENTRIES)))
def test_a_key_is_held_to_what_it_was_held_to(place: int) -> None:
    entry, command = DECIDED[place]

    stored = ENTRIES[place]["fingerprint"]

    assert stored == entry.fingerprint or is_fingerprint_of(stored, command, fingerprint(command))


@pytest.mark.parametrize("count", [0, HALF, ALL])
def test_an_account_comes_back_from_views_and_entries(mongo: MongoSetup, count: int) -> None:
    mongo.database[JOURNAL].insert_many([dict(document) for document in ENTRIES])
    for line in DOCUMENTS:
        if line["entries"] == count:
            mongo.database[line["collection"]].insert_one(dict(line["document"]))

    read = readings(mongo)

    # Usage records are read from documents alone: those of later entries are not there yet.
    *statuses, page = READ["read"]
    assert not list(differences(statuses, read[:-1]))
    if count == ALL:
        assert not list(differences(page, read[-1]))


def test_views_are_written_with_all_that_they_had() -> None:
    assert not list(differences(DOCUMENTS, list(views(life().entries))))

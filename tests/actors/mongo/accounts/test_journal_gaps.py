"""A gap in a journal, of any size and at any place: nothing is decided from what is left."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from actors.mongo.accounts.store import MongoStore
from actors.mongo.embedded_wire import Documents
from actors.protocol.store import JournalBrokenError, Store
from domain.documents.journal import entry_id
from domain.messages import Entry
from tests.builders.authors import NOON, Author, views_of, write
from tests.builders.spoilt_entries import ANN, BOB
from tests.fakes.setups import MongoSetup

NEWEST = 21  # Behind a mark of 1: past the first two steps in which a load asks for entries.
LONG = [(2, 40), (2, 299), (3, 299), (19, 299), (20, 299), (200, 299), (275, 299)]


def runs(newest: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of all runs of entries behind a mark of 1."""
    for first in range(2, newest + 1):
        for last in range(first, newest + 1):
            yield first, last


def lagging(store: Store, newest: int, *, has_mark: bool = True) -> list[Entry]:
    """Give Ann a journal of so many entries, of which at most the first is in the views."""
    author = Author(ANN)
    entries = [author.add(), *author.use_often(newest - 1)]
    store.append(entries)
    if has_mark:
        store.write_views(views_of(entries[0]))
    return entries


class Taken:
    """Takes entries of Ann's out of the journal, and puts them back."""

    def __init__(self, database: Documents, first: int, last: int) -> None:
        self._journal = database.allotment_journal
        ids = [entry_id(ANN, seq) for seq in range(first, last + 1)]
        self._documents = list(self._journal.find({"_id": {"$in": ids}}))

    def __enter__(self) -> None:
        self._journal.delete_many({"_id": {"$in": [d["_id"] for d in self._documents]}})

    def __exit__(self, *_: object) -> None:
        self._journal.insert_many(self._documents)


def missing(store: Store) -> str | None:
    """Return what a load says of Ann's journal, with Bob's beside it; None: it is whole."""
    try:
        store.load([BOB, ANN], NOON)
    except JournalBrokenError as error:
        return error.broken.get(ANN)
    return None


def unseen(store: Store, database: Documents, gone: Sequence[tuple[int, int]]) -> list[object]:
    """Return the runs whose loss a load does not name by its first number, or not the mending."""
    found: list[object] = []
    for first, last in gone:
        with Taken(database, first, last):
            why = missing(store)
        if not (why or "").startswith(f"entry {first} is missing"):
            found.append((first, last, why))
        if missing(store) is not None:
            found.append((first, last, "mended"))
    return found


def test_who_has_appended_sees_every_gap(embedded: MongoSetup) -> None:
    lagging(embedded.store, NEWEST)

    assert unseen(embedded.store, embedded.database, [*runs(NEWEST)]) == []


def test_who_comes_later_sees_every_gap_before_an_entry(embedded: MongoSetup) -> None:
    lagging(embedded.store, NEWEST)

    for first, last in runs(NEWEST - 1):
        with Taken(embedded.database, first, last):
            why = missing(MongoStore(embedded.database))
        assert (why or "").startswith(f"entry {first} is missing, and "), (first, last)
    assert missing(MongoStore(embedded.database)) is None


@pytest.mark.parametrize(("first", "last"), LONG)
def test_long_gaps_are_seen_as_well(embedded: MongoSetup, first: int, last: int) -> None:
    lagging(embedded.store, 300)

    assert unseen(embedded.store, embedded.database, [(first, last), (first, 300)]) == []
    with Taken(embedded.database, first, last):
        assert missing(MongoStore(embedded.database)) is not None


@pytest.mark.parametrize("has_mark", [True, False])
@pytest.mark.parametrize(("first", "last"), [(2, 3), (2, 20), (5, 8), (20, 20)])
def test_a_gap_that_was_seen_once_is_seen_by_every_later_process(
    embedded: MongoSetup, first: int, last: int, *, has_mark: bool
) -> None:
    lagging(embedded.store, NEWEST, has_mark=has_mark)
    first = first if has_mark else first - 1
    with Taken(embedded.database, first, last):
        assert missing(MongoStore(embedded.database)) is not None
        embedded.store.mark_clean("shard-000", NOON + timedelta(days=1))

        for _ in range(2):
            assert missing(MongoStore(embedded.database)) is not None

    later = MongoStore(embedded.database)
    assert missing(later) is None
    (stored,) = later.load([ANN], NOON)
    later.write_views(views_of(*stored.entries))
    assert embedded.document("allotment_accounts", _id=ANN) == {"_id": ANN, "applied_seq": NEWEST}


def test_what_the_views_contain_is_missed_by_nobody(embedded: MongoSetup) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add(), *author.use_often(5)])
    embedded.database.allotment_journal.delete_many({})

    assert missing(embedded.store) is None
    assert missing(MongoStore(embedded.database)) is None
    write(embedded.store, [author.use(1)])
    embedded.database.allotment_journal.delete_many({})
    assert missing(embedded.store) is None


def test_what_another_process_has_written_into_the_views_is_missed_by_nobody(
    embedded: MongoSetup,
) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add()])
    embedded.store.append(entries := author.use_often(5))
    MongoStore(embedded.database).write_views(views_of(*entries))
    embedded.database.allotment_journal.delete_many({})

    assert missing(embedded.store) is None


def test_who_has_lost_the_whole_journal_behind_the_mark_keeps_others_going(
    embedded: MongoSetup,
) -> None:
    lagging(embedded.store, 3)
    write(embedded.store, [Author(BOB).add()])
    with Taken(embedded.database, 2, 3), pytest.raises(JournalBrokenError) as refused:
        embedded.store.load([BOB, ANN], NOON)

    assert refused.value.broken == {ANN: "entry 2 is missing, and entry 3 has been there"}
    assert embedded.store.load([BOB], NOON)

"""What real MongoDBs answer, through a proxy: nothing acknowledged is lost, no false alarms."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from actors.mongo import transactions
from actors.mongo.accounts import all_subscriptions
from actors.mongo.accounts.all_subscriptions import AllSubscriptions
from actors.mongo.accounts.store import MongoStore
from actors.mongo.accounts.warm_reader import WarmReader
from actors.mongo.causality import Causality
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from actors.mongo.failures import passes
from actors.mongo.jobs.agenda import MongoAgenda
from actors.protocol.store import (
    AppendInDoubtError,
    AppendRefusedError,
    JournalBrokenError,
    StorageUnavailableError,
    ViewsRefusedError,
    ViewsTakenError,
)
from domain.messages import Entry
from domain.values import UserId
from tests.builders.authors import NOON, Author, views_of, write
from tests.fakes.setups import ALL_SLOTS, MongoSetup
from tests.wire.answers import (
    NO_WRITES,
    RETRYABLE,
    TRANSIENT,
    refusal,
    storage_failure,
    unconfirmed,
)
from tests.wire.proxy import Answer, Close, Command, ForwardThenAnswer, ForwardThenClose, Proxy
from tests.wire.replica_set import ReplicaSet

ANN, BOB = UserId("ann"), UserId("bob")
CONFLICT = Answer(refusal(112, TRANSIENT))
GIVES_UP_SECONDS = 0.3  # In place of those of a real election.


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon what never succeeds."""
    monkeypatch.setattr(transactions, "ELECTION_SECONDS", GIVES_UP_SECONDS)


@pytest.fixture
def database(proxy: Proxy, embedded: MongoSetup) -> Iterator[Documents]:
    """Yield the test's database, through the proxy."""
    database = connect(proxy.uri, embedded.database.name)
    yield database
    database.client.close()


@pytest.fixture
def store(proxy: Proxy, database: Documents) -> MongoStore:
    """Return a store as a shard has it."""
    store = MongoStore(database)
    store.take_over("shard-000")
    store.load([ANN], NOON)
    proxy.forget_rules()
    return store


def pair() -> list[Entry]:
    return [Author(ANN).add(), Author(BOB).add()]


def landed(setup: MongoSetup) -> int:
    return len(setup.documents("allotment_journal"))


def in_journal(command: Command) -> bool:
    return "allotment_journal" in command.values()


# --- appends ------------------------------------------------------------------------------


def test_an_append_is_sent_again_where_its_primary_steps_down(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup
) -> None:
    refused = Answer(refusal(10107, RETRYABLE, NO_WRITES))
    rule = proxy.on("insert", refused, times=4, where=in_journal)

    store.append(pair())

    assert rule.met == 4
    assert landed(embedded) == 2


def test_an_append_whose_answer_is_lost_is_there_once(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup
) -> None:
    proxy.on("insert", ForwardThenClose(), where=in_journal)

    store.append(pair())

    assert landed(embedded) == 2


@pytest.mark.usefixtures("impatient")
def test_an_append_of_which_nothing_was_done_is_unavailable_and_not_in_doubt(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup
) -> None:
    refused = Answer(refusal(10107, RETRYABLE, NO_WRITES))
    proxy.on("insert", refused, times=None, where=in_journal)

    with pytest.raises(StorageUnavailableError):
        store.append(pair())
    proxy.forget_rules()
    store.append(pair())

    assert landed(embedded) == 2


@pytest.mark.parametrize("entries", [1, 2])
def test_entries_that_no_majority_has_are_in_doubt(
    proxy: Proxy, store: MongoStore, entries: int
) -> None:
    done = unconfirmed(64, n=entries)
    proxy.on("insert", ForwardThenAnswer(done), times=None, where=in_journal)

    with pytest.raises(AppendInDoubtError):
        store.append(pair()[:entries])


@pytest.mark.parametrize("action", [Close(), Answer(refusal(50)), Answer(refusal(11602))])
@pytest.mark.parametrize("entries", [1, 2])
def test_entries_of_which_nobody_ever_hears_are_in_doubt(
    proxy: Proxy, store: MongoStore, entries: int, action: Answer
) -> None:
    proxy.on("insert", action, times=None, where=in_journal)

    with pytest.raises(AppendInDoubtError):
        store.append(pair()[:entries])


FULL_DISK = {"code": 14031, "errmsg": "available disk space is less than required"}


@pytest.mark.parametrize("entries", [1, 2])
def test_a_disk_that_is_full_before_the_first_entry_is_named(
    proxy: Proxy, store: MongoStore, entries: int
) -> None:
    refused = Answer({"ok": 1.0, "n": 0, "writeErrors": [FULL_DISK | {"index": 0}]})
    proxy.on("insert", refused, times=None, where=in_journal)

    with pytest.raises(StorageUnavailableError, match="disk is full"):
        store.append(pair()[:entries])


def test_of_an_append_of_several_messages_the_first_may_have_been_done(
    proxy: Proxy, store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.mongo.accounts.store.MESSAGE_BYTES_MAX", 100)
    monkeypatch.setattr(transactions, "ELECTION_SECONDS", GIVES_UP_SECONDS)
    refused = Answer(refusal(10107, RETRYABLE, NO_WRITES))
    proxy.on("insert", refused, times=None, where=in_journal)

    with pytest.raises(AppendInDoubtError):
        store.append(pair())


def test_a_disk_that_is_full_amid_an_append_leaves_it_in_doubt(
    proxy: Proxy, store: MongoStore
) -> None:
    refused = Answer({"ok": 1.0, "n": 1, "writeErrors": [FULL_DISK | {"index": 1}]})
    proxy.on("insert", refused, times=None, where=in_journal)

    with pytest.raises(AppendInDoubtError):
        store.append(pair())


# --- transactions -------------------------------------------------------------------------


def write_pair(store: MongoStore) -> Callable[[], None]:
    """Append entries; return what writes their views, in a transaction."""
    entries = pair()
    store.append(entries)
    return lambda: store.write_views(views_of(*entries))


def viewed(setup: MongoSetup) -> int:
    return len(setup.documents("subscriptions"))


@pytest.mark.parametrize("code", [10107, 11602, 189, 91, 11600, 13435, 112, 24, 246, 251])
def test_a_statement_that_wrote_nothing_is_sent_again(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup, code: int
) -> None:
    write = write_pair(store)
    proxy.on("insert", Answer(refusal(code, TRANSIENT)))

    write()

    assert viewed(embedded) == 2


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("action", [CONFLICT, Answer(refusal(11602, TRANSIENT)), Close()])
def test_what_never_wrote_anything_is_unavailable_and_can_be_written_later(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup, action: Answer
) -> None:
    write = write_pair(store)
    proxy.on("insert", action, times=None)

    with pytest.raises(StorageUnavailableError):
        write()
    proxy.forget_rules()
    write()

    assert viewed(embedded) == 2


@pytest.mark.parametrize("action", [Close(), ForwardThenClose()])
def test_a_commit_of_which_nobody_heard_is_sent_until_it_is_known(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup, action: Close
) -> None:
    write = write_pair(store)
    proxy.on("commitTransaction", action, times=3)

    write()

    assert viewed(embedded) == 2


@pytest.mark.parametrize("code", [64, 11602])
def test_a_commit_that_no_majority_has_is_confirmed_by_the_next(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup, code: int
) -> None:
    write = write_pair(store)
    proxy.on("commitTransaction", ForwardThenAnswer(unconfirmed(code, RETRYABLE)), times=3)

    write()

    assert viewed(embedded) == 2


def test_a_transaction_that_a_new_primary_never_had_is_run_again(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup
) -> None:
    def end(command: Command) -> bool:
        embedded.database.client.admin.command("killSessions", [{"id": command["lsid"]["id"]}])
        return True

    write = write_pair(store)
    proxy.on("commitTransaction", Close(), where=end)

    write()

    assert viewed(embedded) == 2


def test_a_transaction_that_is_gone_at_its_first_commit_wrote_nothing(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup
) -> None:
    write = write_pair(store)
    proxy.on("commitTransaction", Answer(refusal(251)))

    with pytest.raises(StorageUnavailableError):
        write()

    assert viewed(embedded) == 0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "action", [ForwardThenClose(), ForwardThenAnswer(unconfirmed(64)), Answer(refusal(50))]
)
def test_a_commit_of_which_nobody_ever_hears_is_written_again_by_the_marks(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup, action: ForwardThenAnswer
) -> None:
    write = write_pair(store)
    proxy.on("commitTransaction", action, times=None)

    with pytest.raises(StorageUnavailableError):
        write()
    proxy.forget_rules()
    with contextlib.suppress(ViewsTakenError):  # It had landed.
        write()

    assert viewed(embedded) == 2


# --- views --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [388, 290, 394, 50, 24, 175, 237, 391, 462])
def test_views_that_the_server_cannot_take_now_wait(
    proxy: Proxy, store: MongoStore, code: int
) -> None:
    entries = pair()
    store.append(entries)
    proxy.on("update", Answer(refusal(code)), times=None)
    proxy.on("insert", Answer(refusal(code)), times=None)

    with pytest.raises(StorageUnavailableError):
        store.write_views(views_of(*entries))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", [64, 11602])
def test_views_that_no_majority_has_are_no_fault_of_a_document(
    proxy: Proxy, store: MongoStore, code: int
) -> None:
    entries = pair()
    store.append(entries)
    proxy.on("commitTransaction", ForwardThenAnswer(unconfirmed(code, RETRYABLE)), times=None)

    with pytest.raises(StorageUnavailableError):
        store.write_views(views_of(*entries))


def test_views_that_only_a_deposed_primary_moved_wait(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup
) -> None:
    entry = Author(ANN).add()
    store.append([entry])
    embedded.store.write_views(views_of(entry))
    by_majority: dict[str, Any] = {"level": "majority"}
    mark = {"_id": ANN, "applied_seq": 0}
    cursor = {"id": 0, "ns": f"{embedded.database.name}.allotment_accounts", "firstBatch": [mark]}
    proxy.on(
        "find",
        Answer({"ok": 1.0, "cursor": cursor}),
        where=lambda c: c.get("readConcern", {}).items() >= by_majority.items(),
    )

    with pytest.raises(StorageUnavailableError):
        store.write_views(views_of(entry))


PANIC = 'WiredTiger error: WtError { code: -31804, message: "WT_PANIC: WiredTiger library panic" }'
FULL = [
    (1, PANIC, "storage has given up, as it does on a full disk"),
    (1, f"Internal({PANIC!r})", "storage has given up, as it does on a full disk"),
    (8, "28: No space left on device", "disk is full"),
    (14031, "available disk space of 1 bytes is less than required minimum of 2", "disk is full"),
]


@pytest.mark.parametrize("command", ["find", "insert", "update"])
@pytest.mark.parametrize(("code", "text", "named"), FULL)
def test_a_full_disk_is_named_and_no_document_is_blamed(
    store: MongoStore, proxy: Proxy, command: str, code: int, text: str, named: str
) -> None:
    entry = Author(ANN).add()
    store.append([entry])
    proxy.on(command, Answer(storage_failure(code, text)))

    with pytest.raises(StorageUnavailableError, match=named):
        store.write_views(views_of(entry))


@pytest.mark.parametrize(("code", "text"), [(14, PANIC), (2, "No space left on device"), (1, "a")])
def test_only_a_server_that_speaks_of_itself_is_believed(code: int, text: str) -> None:
    assert not passes(OperationFailure(text, code))
    assert passes(OperationFailure(PANIC, 1))


def test_a_document_in_the_way_is_still_named(store: MongoStore, embedded: MongoSetup) -> None:
    entry = Author(ANN).add()
    store.append([entry])
    taken = entry.change.opening.subscription_id  # type: ignore[union-attr]
    embedded.insert("subscriptions", _id=taken, user_id="bob")

    with pytest.raises(ViewsRefusedError):
        store.write_views(views_of(entry))


# --- sessions that may not be ended -------------------------------------------------------


@pytest.mark.parametrize("code", [8000, 13])
def test_a_refused_end_of_sessions_is_logged_once_and_lived_without(
    proxy: Proxy, store: MongoStore, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    proxy.on("killSessions", Answer(refusal(code)), times=None)
    author = Author(ANN)

    with caplog.at_level(logging.WARNING):
        for number in range(3):
            entry = author.add(transaction=f"t-{number}")
            store.append([entry])
            proxy.on("update", ForwardThenClose())
            store.write_views(views_of(entry))

    assert caplog.text.count("killSessions") == 1


def test_a_successor_starts_where_sessions_may_not_be_ended(
    proxy: Proxy, store: MongoStore, database: Documents
) -> None:
    store.append(pair())
    proxy.on("killSessions", Answer(refusal(8000)), times=None)

    successor = MongoStore(database)
    successor.take_over("shard-000")

    assert len(successor.load([ANN], NOON)[0].entries) == 1


# --- reads --------------------------------------------------------------------------------


def concerns(proxy: Proxy) -> list[dict[str, Any]]:
    return [command.get("readConcern", {}) for command in proxy.commands("find")]


def test_everything_that_decides_is_read_by_a_majority_after_our_own_write(
    proxy: Proxy, store: MongoStore
) -> None:
    store.append(pair())
    proxy.forget_rules()

    store.load([ANN], NOON)
    store.find_entries([(ANN, "key-1")])

    read = concerns(proxy)
    assert read
    assert all(concern["level"] == "majority" for concern in read)
    assert all("afterClusterTime" in concern for concern in read)


@pytest.mark.parametrize("by", ["this process", "another"])
def test_a_warm_start_comes_after_our_own_write(
    proxy: Proxy, store: MongoStore, database: Documents, by: str
) -> None:
    others = AllSubscriptions(database, Causality(database)) if by == "another" else None
    entries = pair()
    store.append(entries)
    store.write_views(views_of(*entries))
    proxy.forget_rules()

    pages = list(WarmReader(database, store.causality, others).pages(ALL_SLOTS, NOON))

    assert sum(len(page.accounts) for page in pages) == 2
    assert all("afterClusterTime" in concern for concern in concerns(proxy))


@pytest.mark.parametrize("refused", [False, True])
def test_a_warm_start_that_is_left_leaves_no_cursor_open(
    proxy: Proxy,
    store: MongoStore,
    database: Documents,
    monkeypatch: pytest.MonkeyPatch,
    *,
    refused: bool,
) -> None:
    monkeypatch.setattr(all_subscriptions, "SUBSCRIPTIONS_PER_BATCH", 1)
    entries = pair()
    store.append(entries)
    store.write_views(views_of(*entries))
    proxy.forget_rules()
    if refused:
        proxy.on("killCursors", Answer(refusal(13)))

    pages = WarmReader(database, store.causality).pages(ALL_SLOTS, NOON)
    next(pages)
    pages.close()

    (ended,) = proxy.commands("killCursors")
    assert (ended["killCursors"], len(ended["cursors"])) == ("subscriptions", 1)


@pytest.mark.parametrize(
    "read",
    [
        lambda database: MongoStore(database).appended_since(NOON, NOON),
        lambda database: MongoStore(database).clean_until(),
        lambda database: list(WarmReader(database).pages(ALL_SLOTS, NOON)),
    ],
)
def test_everything_that_recovers_is_read_by_a_majority(
    proxy: Proxy, database: Documents, read: Callable[[Documents], object]
) -> None:
    read(database)

    found = concerns(proxy)
    assert found
    assert {concern["level"] for concern in found} == {"majority"}


@pytest.mark.usefixtures("impatient")
def test_what_is_in_doubt_is_looked_up_once_a_majority_confirms_our_write(
    proxy: Proxy, store: MongoStore
) -> None:
    done = unconfirmed(64, n=2)
    proxy.on("insert", ForwardThenAnswer(done), times=None, where=in_journal)
    with pytest.raises(AppendInDoubtError):
        store.append(pair())
    stalled = proxy.on("update", ForwardThenAnswer(unconfirmed(64, n=1)), times=2)

    for ask in (lambda: store.find_entries([(ANN, "key-1")]), lambda: store.load([ANN], NOON)):
        with pytest.raises(StorageUnavailableError):
            ask()

    assert stalled.met == 2
    assert len(store.find_entries([(ANN, "key-1")])) == 1


def test_a_start_waits_for_all_that_was_confirmed_before(proxy: Proxy, database: Documents) -> None:
    store = MongoStore(database)
    store.take_over("shard-000")
    proxy.on("update", ForwardThenAnswer(unconfirmed(64, n=1)))

    with pytest.raises(StorageUnavailableError):
        store.load([ANN], NOON)
    assert store.load([ANN], NOON)[0].entries == []


def test_a_refused_append_is_looked_up_once_a_majority_has_what_refused_it(
    proxy: Proxy, store: MongoStore, embedded: MongoSetup
) -> None:
    embedded.store.append(pair())
    with pytest.raises(AppendRefusedError):
        store.append(pair())
    proxy.on("update", ForwardThenAnswer(unconfirmed(64, n=1)))

    with pytest.raises(StorageUnavailableError):
        store.find_entries([(ANN, "key-1")])
    assert len(store.find_entries([(ANN, "key-1")])) == 1


def test_an_entry_that_a_rollback_takes_back_was_never_seen(
    replica_set: ReplicaSet, embedded: MongoSetup
) -> None:
    database = connect(replica_set.uri, embedded.database.name)
    store, entry = MongoStore(database), Author(ANN).add()
    store.take_over("shard-000")
    with replica_set.stalled():
        with pytest.raises(AppendInDoubtError):
            store.append([entry])
        with pytest.raises(StorageUnavailableError):
            store.find_entries([(ANN, entry.key)])
        with pytest.raises(StorageUnavailableError):
            store.load([ANN], NOON)
    replica_set.elect(1)
    replica_set.roll_back()

    assert store.find_entries([(ANN, entry.key)]) == []
    store.append([entry])
    assert store.load([ANN], NOON)[0].entries == [entry]
    database.client.close()


def test_after_an_election_reads_wait_for_all_that_its_loser_had_confirmed(
    replica_set: ReplicaSet, embedded: MongoSetup
) -> None:
    database = connect(replica_set.uri, embedded.database.name)
    store = MongoStore(database)
    store.take_over("shard-000")
    store.append([Author(ANN).add()])
    store.load([ANN], NOON)
    replica_set.elect(1)
    store.append([Author(BOB).add()])

    store.load([ANN], NOON)

    confirmed = replica_set.primary.commands("update")
    assert ["allotment_shards" in command.values() for command in confirmed] == [True]
    database.client.close()


# --- gaps ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [[2], [3], [9, 10], [18]])
def test_a_journal_with_a_gap_is_refused_and_named(embedded: MongoSetup, gone: list[int]) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add()])
    embedded.store.append(author.use_often(20))
    for seq in gone:
        embedded.database.allotment_journal.delete_one({"_id": f"{ANN} {seq}"})

    with pytest.raises(JournalBrokenError) as refused:
        embedded.store.load([BOB, ANN], NOON)

    assert refused.value.broken == {ANN: f"entry {gone[0]} is missing, and later ones are there"}


def test_a_gap_beyond_the_newest_entry_is_one(store: MongoStore, embedded: MongoSetup) -> None:
    author = Author(ANN)
    write(store, [author.add()])
    store.append(author.use_often(3))
    embedded.database.allotment_journal.delete_one({"_id": f"{ANN} 3"})

    with pytest.raises(JournalBrokenError) as refused:
        store.load([ANN], NOON)

    assert refused.value.broken == {ANN: "entry 3 is missing, and later ones are there"}


# --- what is there already, and no majority has yet ---------------------------------------


def test_a_job_that_no_majority_has_yet_is_unavailable(proxy: Proxy, database: Documents) -> None:
    agenda = MongoAgenda(database)
    agenda.entry("expire", NOON)
    nothing = {"id": 0, "ns": f"{database.name}.allotment_jobs", "firstBatch": []}
    proxy.on("find", Answer({"ok": 1.0, "cursor": nothing}), times=2)

    with pytest.raises(StorageUnavailableError):
        agenda.entry("expire", NOON)


def test_sessions_of_the_relay_outlive_a_new_set_of_shards(embedded: MongoSetup) -> None:
    relay = MongoStore(embedded.database)
    relay.take_over("relay")
    relay.in_transaction(lambda session: None)
    embedded.store.mark_clean("shard-007", NOON)

    MongoStore(embedded.database).keep_marks(["shard-000"])

    kept = {shard["_id"]: shard for shard in embedded.documents("allotment_shards")}
    assert kept.keys() == {"relay", "shard-000"}
    assert kept["relay"]["sessions"]

"""A journal that is broken: nothing is decided about its account, and nobody else notices."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from actors.mongo.accounts.warm_reader import WarmReader
from actors.protocol.calls import Envelope, Outcome
from actors.protocol.queries import HistoryQuery, MonthQuery
from actors.runtime.counters import Counters
from actors.shard import broken_journals
from actors.shard.accounts import Accounts
from actors.shard.broken_journals import LOOK_AGAIN_SECONDS
from actors.shard.comparison import Comparison
from actors.shard.shard import Shard
from domain.documents.journal import entry_id
from domain.documents.recovery import Recovered, Stored, recover
from domain.values import UserId
from tests.builders.authors import NOON, POLICY
from tests.builders.spoilt_entries import (
    ANN,
    BOB,
    GONE,
    KEEP_THEIR_ANSWER,
    SPOILT,
    lagging,
    mend,
    spoil,
    written,
)
from tests.fakes.asked import AllQueries
from tests.fakes.setups import ALL_SLOTS, MongoSetup
from tests.fakes.shards import (
    Clock,
    Seconds,
    ask,
    ask_one,
    charge_call,
    in_loop,
    running,
    status,
    until,
)


@pytest.fixture(params=SPOILT)
def fields(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Return what is made of one entry."""
    return SPOILT[request.param]


def tear(setup: MongoSetup) -> dict[str, object]:
    """Leave Ann's journal without its second entry, and return that; Bob's is whole."""
    lagging(setup)
    second = {"_id": entry_id(ANN, 2)}
    taken: dict[str, object] = setup.database.allotment_journal.find_one(second) or {}
    setup.database.allotment_journal.delete_one(second)
    return taken


@in_loop
async def test_a_charge_is_refused_as_long_as_an_entry_is_missing_and_others_are_not(
    embedded: MongoSetup, caplog: pytest.LogCaptureFixture
) -> None:
    taken, seconds = tear(embedded), Seconds()
    async with running(embedded.store, views=False, monotonic=seconds) as shard:
        with caplog.at_level(logging.ERROR):
            charges = charge_call(ANN, 50, "late"), charge_call(BOB, 50, "late")
            ann, bob = await ask(shard, *charges)

        assert (ann.outcome, bob.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)
        assert "the journal of ann is broken: entry 2 is missing" in caplog.text
        assert shard.counters.journal_gaps == 1
        embedded.database.allotment_journal.insert_one(taken)
        seconds.now += LOOK_AGAIN_SECONDS
        again = await ask_one(shard, charge_call(ANN, 50, "late"))
        assert again.outcome is Outcome.DONE
        assert (await status(shard, ANN)).remaining_credits == 90 - 30 - 4 - 5 - 50


@in_loop
async def test_what_is_known_to_be_broken_is_looked_at_once_a_second(embedded: MongoSetup) -> None:
    taken, seconds = tear(embedded), Seconds()
    async with running(embedded.store, views=False, monotonic=seconds) as shard:
        for _ in range(3):
            ann, bob = await ask(shard, charge_call(ANN, 1, "k"), charge_call(BOB, 1, "k"))
            assert (ann.outcome, bob.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)
        looks = shard.counters.journal_gaps
        embedded.database.allotment_journal.insert_one(taken)
        read = await shard.handle(Envelope(1, (), (ANN,)))
        seconds.now += LOOK_AGAIN_SECONDS
        again = await ask_one(shard, charge_call(ANN, 1, "k"))

    assert looks == 1
    assert [reply.outcome for reply in read] == [Outcome.UNAVAILABLE]
    assert again.outcome is Outcome.DONE


@in_loop
async def test_a_key_whose_answer_is_lost_delays_others_once_a_second(embedded: MongoSetup) -> None:
    written(embedded)
    spoil(embedded, 2, {"answer": 7})
    seconds = Seconds()
    async with running(embedded.store, monotonic=seconds) as shard:
        for turn in range(3):
            calls = charge_call(ANN, 30, "key-2"), charge_call(ANN, 1, f"another {turn}")
            lost, other = await ask(shard, *calls)
            assert (lost.outcome, other.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)
        failed = shard.counters.append_conflicts

    assert failed == 1


@in_loop
async def test_a_comparison_passes_over_an_account_with_a_gap(embedded: MongoSetup) -> None:
    async with running(embedded.store, views=False) as shard:
        taken = tear(embedded)
        embedded.database.allotment_journal.insert_one(taken)
        for user_id in (ANN, BOB):
            await status(shard, user_id)
        embedded.database.allotment_journal.delete_one(taken)

        found = await Comparison(shard, embedded.store, _at_once).compare(repair=True)

        assert found.quarantined == 1
        assert found.checked == 1
        assert found.users == [ANN]


# --- entries that cannot be read ----------------------------------------------------------


@in_loop
async def test_who_has_an_entry_that_cannot_be_read_waits_and_others_do_not(
    embedded: MongoSetup, fields: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    lagging(embedded)
    entry, seconds = spoil(embedded, 2, fields), Seconds()
    async with running(embedded.store, monotonic=seconds) as shard:
        with caplog.at_level(logging.ERROR):
            charges = charge_call(ANN, 50, "late"), charge_call(BOB, 50, "late")
            ann, bob = await ask(shard, *charges)

        assert (ann.outcome, bob.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)
        assert "the journal of ann is broken: entry 2 cannot be read" in caplog.text
        mend(embedded, entry)
        seconds.now += LOOK_AGAIN_SECONDS
        assert (await ask_one(shard, charge_call(ANN, 50, "late"))).outcome is Outcome.DONE
        assert (await status(shard, ANN)).remaining_credits == 90 - 30 - 4 - 5 - 50


@pytest.mark.parametrize("name", [n for n in SPOILT if "command_id" not in SPOILT[n]])
@in_loop
async def test_who_repeats_the_key_of_such_an_entry_ends_no_shard(
    embedded: MongoSetup, name: str
) -> None:
    written(embedded)
    spoil(embedded, 2, SPOILT[name])
    async with running(embedded.store) as shard:
        calls = [charge_call(u, 30, "key-2") for u in (ANN, BOB)]
        for _ in range(3):
            ann, bob, other = await ask(shard, *calls, charge_call(ANN, 0, "other"))

            assert (bob.outcome, bob.replayed) == (Outcome.DONE, True)
            assert other.outcome is Outcome.DONE
            assert ann.outcome in (Outcome.DONE, Outcome.UNAVAILABLE)
        assert (await status(shard, ANN)).remaining_credits == 90 - 30


@in_loop
async def test_whose_key_another_entry_has_taken_waits_alone(embedded: MongoSetup) -> None:
    written(embedded)
    spoil(embedded, 2, {"command_id": f"{BOB} another"})
    async with running(embedded.store) as shard:
        bob, ann = await ask(shard, charge_call(BOB, 1, "another"), charge_call(ANN, 1, "k"))

    assert (bob.outcome, ann.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)


@pytest.mark.parametrize("name", KEEP_THEIR_ANSWER)
@in_loop
async def test_the_first_answer_outlives_what_it_was_an_answer_to(
    embedded: MongoSetup, name: str
) -> None:
    written(embedded)
    before = spoil(embedded, 2, SPOILT[name])
    async with running(embedded.store) as shard:
        again = await ask_one(shard, charge_call(ANN, 30, "key-2"))

    assert again.replayed
    assert again.body == before["answer"].encode()


@pytest.mark.parametrize("answer", [GONE, None, 7, "", "[]", "{"])
@in_loop
async def test_an_answer_that_cannot_be_read_is_no_answer(
    embedded: MongoSetup, answer: object
) -> None:
    written(embedded)
    entry, seconds = spoil(embedded, 2, {"answer": answer}), Seconds()
    async with running(embedded.store, monotonic=seconds) as shard:
        ann, bob = await ask(shard, charge_call(ANN, 30, "key-2"), charge_call(BOB, 1, "k"))
        assert (ann.outcome, bob.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)

        mend(embedded, entry)
        seconds.now += LOOK_AGAIN_SECONDS
        again = await ask_one(shard, charge_call(ANN, 30, "key-2"))
        assert again.body == entry["answer"].encode()


@in_loop
async def test_a_start_takes_up_the_others_and_fills_ram_without_the_broken_one(
    embedded: MongoSetup, fields: Mapping[str, Any]
) -> None:
    lagging(embedded)
    entry = spoil(embedded, 3, fields)
    for _ in range(2):  # The second one no longer sees that the views lag.
        clock = Clock(NOON + timedelta(hours=1))
        async with running(embedded.store, clock=clock) as shard:
            await shard.handle(Envelope(1, (), (ANN,) if "at" in fields else ()))
            await shard.catch_up()
            embedded.store.mark_clean(shard.name, NOON + timedelta(hours=1))
            task = asyncio.create_task(shard.warm_start.run(WarmReader(embedded.database)))
            await until(partial(_has, shard, BOB))

            assert ANN not in shard.accounts.dormant
            task.cancel()
    mend(embedded, entry)
    async with running(embedded.store) as shard:
        assert (await status(shard, ANN)).remaining_credits == 90 - 30 - 4 - 5
    assert "unreadable" not in embedded.document("allotment_accounts", _id=ANN)


@in_loop
async def test_reading_all_anew_passes_over_the_broken_one(embedded: MongoSetup) -> None:
    lagging(embedded)
    async with running(embedded.store, views=False) as shard:
        for user_id in (ANN, BOB):
            await status(shard, user_id)
        spoil(embedded, 2, {"body": {}})

        reread = await Comparison(shard, embedded.store, _at_once).reread(None)

        assert reread.checked == 2
        assert BOB in shard.accounts
        assert ANN not in shard.accounts


@in_loop
async def test_the_history_is_there_though_the_account_is_not(embedded: MongoSetup) -> None:
    lagging(embedded)
    spoil(embedded, 2, {"body": {}})
    async with running(embedded.store) as shard:
        queries = AllQueries(shard, embedded.reads, POLICY)

        history = await queries.answer(1, HistoryQuery(ANN, 10, None))
        month = await queries.answer(1, MonthQuery(ANN, "2026-03"))

    assert history.outcome is Outcome.DONE
    assert month.outcome is Outcome.UNAVAILABLE


def test_so_much_is_known_to_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broken_journals, "KNOWN_MAX", 2)
    accounts = Accounts(10, counters := Counters(), lambda: NOON)
    known = broken_journals.BrokenJournals("shard-000", accounts, counters, Seconds())

    known.note([ANN, (BOB, "k"), BOB])

    assert not known.covers(ANN, None)
    assert known.covers(BOB, None)
    assert known.covers(BOB, charge_call(BOB, 1, "k"))


# --- marks and accounts -------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["2", None, 2.5, True, -1, {}])
@in_loop
async def test_a_mark_that_is_none_is_its_users_alone(embedded: MongoSetup, mark: object) -> None:
    written(embedded)
    accounts = embedded.database.allotment_accounts
    accounts.update_one({"_id": ANN}, {"$set": {"applied_seq": mark}})
    seconds = Seconds()
    async with running(embedded.store, monotonic=seconds) as shard:
        ann, bob = await ask(shard, charge_call(ANN, 5, "k"), charge_call(BOB, 5, "k"))
        assert (ann.outcome, bob.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)
        pages = WarmReader(embedded.database).pages(ALL_SLOTS, NOON)
        assert [u for page in pages for u in page.accounts] == [BOB]

        accounts.update_one({"_id": ANN}, {"$set": {"applied_seq": 2}})
        seconds.now += LOOK_AGAIN_SECONDS
        assert (await ask_one(shard, charge_call(ANN, 5, "k"))).outcome is Outcome.DONE
        await shard.settle()


@in_loop
async def test_what_is_stored_and_comes_to_no_account_is_its_users_alone(
    embedded: MongoSetup, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recover_all_but_ann(stored: Stored, *args: Any, **kwargs: Any) -> Recovered:
        assert stored.user_id != ANN, "what is stored of her is nonsense"
        return recover(stored, *args, **kwargs)

    monkeypatch.setattr(broken_journals, "recover", recover_all_but_ann)
    lagging(embedded)
    async with running(embedded.store) as shard:
        ann, bob = await ask(shard, charge_call(ANN, 5, "k"), charge_call(BOB, 5, "k"))

    assert bob.outcome is Outcome.DONE
    assert ann.outcome is Outcome.UNAVAILABLE
    assert "the journal of ann is broken" in caplog.text


def _has(shard: Shard, user_id: UserId) -> bool:
    """Say whether a shard that has filled its RAM has an account."""
    held = user_id in shard.accounts.dormant or user_id in shard.accounts
    return held and not shard.counters.warming


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)

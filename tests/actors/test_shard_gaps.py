"""A journal with a gap: nothing is decided about its account, and nobody else notices."""

import asyncio
import logging

import pytest

from actors.calls import Outcome
from actors.shards.comparison import Comparison
from domain.codec import entry_id
from domain.values import UserId
from tests.actors.authors import POLICY, Author, write
from tests.actors.running import ask, ask_one, charge_call, in_loop, running, status
from tests.actors.setups import MongoSetup

ANN, BOB = UserId("ann"), UserId("bob")


def tear(setup: MongoSetup) -> dict[str, object]:
    """Leave Ann's journal without its second entry, and return that; Bob's is whole."""
    ann, bob = Author(ANN), Author(BOB)
    write(setup.store, [ann.add(), bob.add()])
    setup.store.append([ann.use(30), ann.use(4), ann.use(5)])
    second = {"_id": entry_id(ANN, 2)}
    taken: dict[str, object] = setup.database.allotment_journal.find_one(second) or {}
    setup.database.allotment_journal.delete_one(second)
    return taken


@in_loop
async def test_a_charge_is_refused_as_long_as_an_entry_is_missing_and_others_are_not(
    embedded: MongoSetup, caplog: pytest.LogCaptureFixture
) -> None:
    taken = tear(embedded)
    async with running(embedded.store, views=False) as shard:
        with caplog.at_level(logging.ERROR):
            charges = charge_call(ANN, 50, "late"), charge_call(BOB, 50, "late")
            ann, bob = await ask(shard, *charges)

        assert (ann.outcome, bob.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)
        assert "entry 2 of ann is missing" in caplog.text
        assert shard.counters.journal_gaps == 1
        embedded.database.allotment_journal.insert_one(taken)
        again = await ask_one(shard, charge_call(ANN, 50, "late"))
        assert again.outcome is Outcome.DONE
        assert (await status(shard, ANN)).remaining_credits == 90 - 30 - 4 - 5 - 50


@in_loop
async def test_a_comparison_passes_over_an_account_with_a_gap(embedded: MongoSetup) -> None:
    async with running(embedded.store, views=False) as shard:
        taken = tear(embedded)
        embedded.database.allotment_journal.insert_one(taken)
        for user_id in (ANN, BOB):
            await status(shard, user_id)
        embedded.database.allotment_journal.delete_one(taken)

        found = await Comparison(shard, embedded.store, POLICY, _at_once).compare(repair=True)

        assert found.quarantined == 1
        assert found.checked == 1
        assert not found.users


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)

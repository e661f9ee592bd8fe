"""A hold of several sources, one of which cannot be read for a while, is resolved once, on every store."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from actors.protocol.calls import Call, Outcome, Reply
from domain.charges import UsageRecorded
from domain.documents.recovery import recover
from domain.holds import (
    ExpireHold,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    PlaceHold,
    ReleaseHold,
    SettleHold,
)
from domain.messages import Command, CommandRefused, Entry, Refusal, Rejection
from domain.recalls import recalls
from domain.values import Credits, UserId
from tests.builders.authors import NOON, Author, add_credit, add_pack, write
from tests.builders.hold_calls import placed as placed_hold
from tests.fakes.setups import MemorySetup, Setup
from tests.fakes.shards import Clock, ask_one, in_loop, running, status

ANN = UserId("ann")
NOW = NOON.replace(year=2096)  # Servers delete by their own clocks what is over.

SOURCES = {
    "the pack": ("packs", "spendable_credits"),
    "the subscription of the day": ("subscriptions", "spendable_credits"),
}
RESOLVED: dict[str, Callable[[str], Command]] = {
    "settled": lambda hold_id: SettleHold(ANN, hold_id, Credits(100)),
    "released": lambda hold_id: ReleaseHold(ANN, hold_id),
}


class Shard:
    """Reads what is stored before each command, and writes what comes of it, as a shard does."""

    def __init__(self, setup: Setup) -> None:
        self.store = setup.store
        self.now = NOW

    def do(self, command: Command) -> Entry:
        (stored,) = self.store.load([ANN], self.now)
        author = Author.of(stored, self.now)
        beside = recalls(command, author.account)
        if beside is not None:
            (stored,) = self.store.load([ANN], self.now, beside)
            author.account = recover(stored, self.now, author.policy, beside).account
        entry = author.do(command)
        write(self.store, [entry])
        return entry


@pytest.mark.parametrize("broken", SOURCES)
@pytest.mark.parametrize("how", RESOLVED)
def test_what_a_source_still_holds_when_it_is_mended_is_charged_no_more(
    setup: Setup, broken: str, how: str
) -> None:
    shard = Shard(setup)
    shard.do(add_credit(ANN, 3000, 30))
    shard.do(add_pack(ANN, 1000))
    placed = shard.do(PlaceHold(ANN, "chat", Credits(120)))
    assert isinstance(placed.change, HoldPlaced)
    assert len(placed.change.packs) == 1
    hold_id = placed.change.hold.hold_id
    collection, field = SOURCES[broken]
    sound = setup.document(collection)
    setup.change(collection, {"_id": sound["_id"]}, **{field: "many"})

    resolved = shard.do(RESOLVED[how](hold_id))

    assert isinstance(resolved.change, HoldSettled | HoldFreed)
    setup.change(collection, {"_id": sound["_id"]}, **{field: sound[field]})
    before = used(setup)
    for again in RESOLVED.values():
        refused = shard.do(again(hold_id)).change
        assert isinstance(refused, CommandRefused)
        assert refused.refusal.reason is Rejection.HOLD_CLOSED
    assert used(setup) == before


@pytest.mark.parametrize("broken", SOURCES)
def test_an_expiry_of_what_was_mended_gives_no_second_late_settlement(
    setup: Setup, broken: str
) -> None:
    shard = Shard(setup)
    shard.do(add_credit(ANN, 3000, 30))
    shard.do(add_pack(ANN, 1000))
    placed = shard.do(PlaceHold(ANN, "chat", Credits(120)))
    assert isinstance(placed.change, HoldPlaced)
    hold_id = placed.change.hold.hold_id
    collection, field = SOURCES[broken]
    sound = setup.document(collection)
    setup.change(collection, {"_id": sound["_id"]}, **{field: "many"})
    shard.now += timedelta(minutes=5)
    shard.do(ExpireHold(ANN, hold_id))
    late = shard.do(SettleHold(ANN, hold_id, Credits(10)))
    assert isinstance(late.change, UsageRecorded)

    setup.change(collection, {"_id": sound["_id"]}, **{field: sound[field]})
    freed = shard.do(ExpireHold(ANN, hold_id))

    assert isinstance(freed.change, HoldFreed)
    refused = shard.do(SettleHold(ANN, hold_id, Credits(10))).change
    assert isinstance(refused, CommandRefused)
    assert refused.refusal.reason is Rejection.HOLD_CLOSED
    assert used(setup) == 10


@pytest.mark.parametrize("is_in_ram", [True, False])
@in_loop
async def test_what_was_settled_without_its_pack_is_released_no_more_be_it_in_ram_or_not(
    is_in_ram: bool,
) -> None:
    setup = MemorySetup()
    async with running(setup.store, clock=Clock(NOW)) as shard:

        async def do(command: Command, key: str) -> Reply:
            reply = await ask_one(shard, Call(command, key, keep_refusal=True))
            await shard.settle()
            return reply

        await do(add_credit(ANN, 3000, 30), "credit")
        await do(add_pack(ANN, 1000), "pack")
        hold_id = placed_hold(await do(PlaceHold(ANN, "chat", Credits(120)), "hold")).hold_id
        pack = setup.document("packs")
        setup.change("packs", {"_id": pack["_id"]}, spendable_credits="many")
        shard.accounts.forget(ANN)
        settled = await do(SettleHold(ANN, hold_id, Credits(100)), "settle")
        setup.change("packs", {"_id": pack["_id"]}, spendable_credits=pack["spendable_credits"])
        shard.accounts.forget(ANN)
        if is_in_ram:
            await status(shard, ANN)

        released = await do(ReleaseHold(ANN, hold_id), "release")

        assert settled.outcome is Outcome.DONE
        assert released.refusal == Refusal(Rejection.HOLD_CLOSED)


def used(setup: Setup) -> int:
    """Return what days and packs say of their use together."""
    documents = [*setup.documents("dailycredits"), *setup.documents("packs")]
    return sum(int(document["credits_used"]) for document in documents)

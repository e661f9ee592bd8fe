"""The number of shards changes while they serve: nothing is lost, and nothing old is read."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from actors.cluster.resharding import FAILURES, Plan, Resharding
from actors.protocol.calls import MOVED, Call, Envelope, Outcome
from actors.protocol.directory import Directory, even, slot_of
from actors.protocol.store import StorageUnavailableError, ViewsRefusedError
from actors.routing.router import Router
from domain.api.answers import CreditStatusResponse
from domain.documents.views import AccountViews
from domain.holds import PlaceHold
from domain.values import Credits, UserId
from tests.fakes.fleet import Fleet, JanitorCrashedError, fleet_of
from tests.fakes.held_reader import Held
from tests.fakes.shards import at_the_gate, charge_call, credit_call, in_loop, until
from tests.patience import PATIENCE_SECONDS
from tests.simulation.database_reads import SimulatedWarmth

USERS = [UserId(f"u-{number}") for number in range(60)]
WAYS = [(3, 8), (8, 2)]
SECONDS = PATIENCE_SECONDS


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


def carried_out_by(fleet: Fleet, tables: Any = None, crew: Any = None) -> Resharding:
    return Resharding(
        tables or fleet.tables, crew or fleet, fleet.clock, no_pause, slots_at_once=1024
    )


async def carry_out(janitor: Resharding) -> None:
    while await janitor.step():
        pass


async def amid_a_move(fleet: Fleet) -> Resharding:
    """Begin to move all to one shard; return once the first slots are on their way."""
    janitor = carried_out_by(fleet)
    await janitor.begin(1)
    while not fleet.tables.table.leaving:
        await janitor.step()
    return janitor


def moving(fleet: Fleet, shards: int) -> Directory:
    """Return the version in which the first slots are on their way."""
    table = fleet.tables.table.with_shards(max(shards, fleet.tables.table.shards))
    assert fleet.tables.publish(table)
    newer = table.towards(shards, 1024)
    assert newer is not None
    return newer


async def remaining(router: Router, user_id: UserId) -> int:
    reply = await router.status(user_id)
    assert reply.body is not None, reply
    return CreditStatusResponse.model_validate_json(reply.body).remaining_credits


# --- the whole way ------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), WAYS)
@in_loop
async def test_under_load_all_is_answered_and_nothing_old_is_read(before: int, after: int) -> None:
    async with fleet_of(before) as fleet:
        router, janitor = Router(fleet, SECONDS), carried_out_by(fleet)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        finished = asyncio.Event()

        async def charge_and_read(user_id: UserId) -> int:
            for number in count():
                if finished.is_set():
                    return number
                reply = await router.call(charge_call(user_id, 1, f"k-{number}"))
                assert reply.outcome is Outcome.DONE
                assert await remaining(router, user_id) == 999 - number
            raise AssertionError("it is finished before it has counted so far")

        charging = [asyncio.create_task(charge_and_read(user_id)) for user_id in USERS]
        await janitor.begin(after)
        await carry_out(janitor)
        finished.set()
        charges = await asyncio.gather(*charging)
        await asyncio.gather(*(one.shard.settle() for one in fleet.running.values()))

        days = fleet.store.collections["dailycredits"].values()
        assert {d["user_id"]: d["credits_used"] for d in days} == dict(
            zip(USERS, charges, strict=True)
        )
        assert sorted(fleet.running) == list(range(after))
        held = {i: set(one.shard.accounts) for i, one in fleet.running.items()}
        assert all(fleet.tables.table.owner(u) == i for i, users in held.items() for u in users)
        assert not (await janitor.report()).running


@in_loop
async def test_progress_is_told_and_another_number_is_refused_meanwhile() -> None:
    async with fleet_of(3) as fleet:
        janitor = carried_out_by(fleet)
        quiet = await janitor.report()
        begun = await janitor.begin(8)
        other = await janitor.begin(2)
        seen = []
        while await janitor.step():
            seen.append((await janitor.report()).moved)
        ended = await janitor.report()
        down = await janitor.begin(2)

    assert (quiet.shards, quiet.running, quiet.slots) == (3, False, 0)
    assert (begun.shards, begun.shards_before, begun.slots, begun.moved) == (8, 3, 2560, 0)
    assert other.shards == 8
    assert seen == sorted(seen)
    assert {0, 1024, 2048, 2560} <= set(seen)
    assert (ended.running, ended.moved) == (False, 2560)
    assert (down.shards, down.shards_before, down.running) == (2, 8, True)


@in_loop
async def test_the_loop_carries_out_what_another_process_has_begun() -> None:
    async with fleet_of(2) as fleet:
        await carried_out_by(fleet).begin(3)
        loop = asyncio.create_task(carried_out_by(fleet).run())

        await until(lambda: fleet.tables.kept is not None and fleet.tables.kept.ended_at)

        loop.cancel()
        assert sorted(fleet.running) == [0, 1, 2]


# --- whoever carries it out ends --------------------------------------------------------


class Mortal:
    """Passes so many calls on; the next one is its end."""

    def __init__(self, served: Any, calls: Callable[[], int], last: int) -> None:
        self._served, self._calls, self._last = served, calls, last

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._served, name)
        if not asyncio.iscoroutinefunction(attribute):

            def call(*arguments: Any) -> Any:
                self._count()
                return attribute(*arguments)

            return call

        async def asked(*arguments: Any) -> Any:
            self._count()
            return await attribute(*arguments)

        return asked

    def _count(self) -> None:
        if self._calls() >= self._last:
            raise JanitorCrashedError


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("last", range(0, 40, 2))
@in_loop
async def test_a_successor_goes_on_wherever_it_was_left(before: int, after: int, last: int) -> None:
    async with fleet_of(before) as fleet:
        router = Router(fleet, SECONDS)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        await carried_out_by(fleet).begin(after)
        calls = count().__next__
        mortal = carried_out_by(
            fleet, Mortal(fleet.tables, calls, last), Mortal(fleet, calls, last)
        )
        with contextlib.suppress(JanitorCrashedError):
            await carry_out(mortal)
        await asyncio.gather(*(fleet.restart(index) for index in list(fleet.running)))
        await carry_out(carried_out_by(fleet))

        table = fleet.tables.table
        assert (table.shards, table.slots_to_move(after)) == (after, 0)
        assert sorted(fleet.running) == list(range(after))
        assert fleet.tables.kept is not None
        assert fleet.tables.kept.ended_at is not None
        assert [await remaining(router, user_id) for user_id in USERS] == [1000] * len(USERS)


@in_loop
async def test_two_at_once_do_no_harm() -> None:
    async with fleet_of(2) as fleet:
        janitors = [carried_out_by(fleet), carried_out_by(fleet)]
        await janitors[0].begin(5)

        await asyncio.gather(*map(carry_out, janitors))

        assert (await janitors[1].report()).moved == 2457
        assert fleet.tables.table.slots_to_move(5) == 0
        assert fleet.tables.table.shards == 5


@in_loop
async def test_a_plan_that_was_made_while_another_was_carried_out_ends_all_that_are_left_over() -> (
    None
):
    async with fleet_of(1) as fleet:
        late, janitor = carried_out_by(fleet), carried_out_by(fleet)
        first = await janitor.begin(3)
        await carry_out(janitor)
        outdated = Plan(1, first.shards_before, 0, fleet.clock())
        assert fleet.tables.begin(outdated)

        await carry_out(late)

        assert sorted(fleet.running) == [0]


def refuse(_views: Sequence[AccountViews]) -> None:
    """Refuse every view, as where documents of another program stand in the way."""
    raise ViewsRefusedError("a document is there already")


# --- the two versions of a move -----------------------------------------------------------


@in_loop
async def test_a_stale_reader_is_sent_away_by_everybody_until_all_have_handed_over() -> None:
    async with fleet_of(2) as fleet:
        router = Router(fleet, SECONDS)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        before = fleet.tables.table
        newer = moving(fleet, 1)
        fleet.tables.publish(newer)
        user = next(u for u in USERS if slot_of(u) in newer.leaving)
        stale, leaving = Envelope(before.version, (), (user,)), Envelope(newer.version, (), (user,))

        await asyncio.gather(*(fleet.hand_over(index, newer.version) for index in range(2)))

        for index in range(2):
            assert await fleet.send(index, stale) == [MOVED]
            assert await fleet.send(index, leaving) == [MOVED]
        arrived = newer.towards(1, 1024)
        assert arrived is not None
        fleet.tables.publish(arrived)
        await fleet.hand_over(0, arrived.version)
        assert await remaining(router, user) == 1000


@in_loop
async def test_the_next_version_waits_for_a_shard_that_does_not_answer() -> None:
    async with fleet_of(2) as fleet:
        janitor = await amid_a_move(fleet)
        version = fleet.tables.table.version
        await fleet.end(1)

        for _ in range(3):
            with pytest.raises(FAILURES):
                await janitor.step()
        assert fleet.tables.table.version == version

        await fleet.start(1)
        await carry_out(janitor)
        assert fleet.tables.table.slots_to_move(1) == 0


@in_loop
async def test_the_next_version_waits_for_a_shard_that_follows_an_older_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet_of(2) as fleet:
        janitor = await amid_a_move(fleet)
        version = fleet.tables.table.version
        behind = fleet.running[1].shard.ownership
        follow = behind.follow
        monkeypatch.setattr(behind, "follow", lambda _: None)

        with pytest.raises(FAILURES):
            await janitor.step()
        assert fleet.tables.table.version == version

        monkeypatch.setattr(behind, "follow", follow)
        await carry_out(janitor)
        assert fleet.tables.table.slots_to_move(1) == 0


@in_loop
async def test_a_new_owner_writes_what_the_former_one_could_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet_of(1) as fleet:
        router = Router(fleet, SECONDS)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        await fleet.running[0].shard.settle()
        arrived = even(1, 2)
        moved = next(user_id for user_id in USERS if arrived.owner(user_id) == 1)
        write_views = fleet.store.write_views
        monkeypatch.setattr(fleet.store, "write_views", refuse)
        await router.call(charge_call(moved, 1, "k"))
        janitor = carried_out_by(fleet)
        await janitor.begin(2)
        while fleet.tables.table.slots_to_move(2) or fleet.tables.table.leaving:
            await janitor.step()
        assert not fleet.store.collections["usages"]

        monkeypatch.setattr(fleet.store, "write_views", write_views)
        await carry_out(janitor)

        await until(lambda: fleet.store.collections["usages"])
        assert moved not in fleet.running[0].shard.accounts


@in_loop
async def test_what_is_read_for_the_warm_start_is_not_kept_of_users_that_leave() -> None:
    async with fleet_of(2) as fleet:
        router = Router(fleet, SECONDS)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        former = fleet.running[1].shard
        await asyncio.gather(*(one.shard.settle() for one in fleet.running.values()))
        user = next(u for u in USERS if fleet.tables.table.owner(u) == 1)
        former.accounts.forget(user)
        source = Held(SimulatedWarmth(fleet.store))
        warming = asyncio.create_task(former.warm_start.run(source))
        await asyncio.to_thread(source.read_page.wait, 10)

        janitor = carried_out_by(fleet)
        await janitor.begin(1)
        while fleet.tables.table.owner(user) == 1 or fleet.tables.table.leaving:
            await janitor.step()
        await router.call(charge_call(user, 1, "k"))
        fleet.tables.kept = None  # Another plan takes the place of this one.
        await janitor.begin(2)
        while fleet.tables.table.slots_to_move(2):
            await janitor.step()
        await fleet.hand_over(1, fleet.tables.table.version)
        source.go_on.set()
        await until(lambda: not former.counters.warming)

        assert await remaining(router, user) == 999
        warming.cancel()


@in_loop
async def test_a_shard_that_restarts_amid_a_move_writes_what_its_predecessor_left() -> None:
    async with fleet_of(2) as fleet:
        router = Router(fleet, SECONDS)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        await asyncio.gather(*(one.shard.settle() for one in fleet.running.values()))
        newer = moving(fleet, 1)
        leaving = [u for u in USERS if slot_of(u) in newer.leaving]
        fleet.running[1].loops[1].cancel()  # Its views are written no longer.
        await router.calls([charge_call(user_id, 1, "k") for user_id in leaving])
        fleet.tables.publish(newer)
        assert not fleet.store.collections["usages"]

        await fleet.restart(1)
        assert await fleet.hand_over(1, newer.version) == newer.version

        assert len(fleet.store.collections["usages"]) == len(leaving) > 0
        assert not {*fleet.running[1].shard.accounts} & {*leaving}


@in_loop
async def test_nothing_is_handed_over_before_an_earlier_incarnation_is_caught_up_with() -> None:
    async with fleet_of(1) as fleet:
        fleet.running[0].shard.caught_up = False

        with pytest.raises(StorageUnavailableError):
            await fleet.hand_over(0, 1)


@in_loop
async def test_who_is_read_for_no_caller_serves_one_batch_of_a_shard_that_has_no_slot_of_it() -> (
    None
):
    async with fleet_of(2) as fleet:
        router = Router(fleet, SECONDS)
        table = fleet.tables.table
        user = next(u for u in USERS if table.owner(u) == 0)
        await router.call(credit_call(user, 1000))
        other = fleet.running[1].shard

        other.reloader.want([user])
        reading = other.inbox.put(user, None, anew=True)
        assert reading is not None
        assert (await reading).outcome is Outcome.DONE

        await other.inbox.settle()
        assert user not in other.accounts


@in_loop
async def test_a_hold_that_has_moved_is_not_expired_by_its_former_shard() -> None:
    async with fleet_of(2) as fleet:
        router = Router(fleet, SECONDS)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        newer = moving(fleet, 1)
        user = next(u for u in USERS if slot_of(u) in newer.leaving)
        await router.call(Call(PlaceHold(user, "chat", Credits(5), 30), "h", keep_refusal=True))
        fleet.tables.publish(newer)
        await fleet.hand_over(1, newer.version)
        entries = len(fleet.store.journal)

        fleet.clock.advance(seconds=60)
        former = fleet.running[1].shard
        former.expiry.look()
        await until(lambda: not former.accounts.open_holds.due)
        await former.inbox.settle()

        assert len(fleet.store.journal) == entries


@in_loop
async def test_a_batch_amid_its_append_is_finished_before_its_users_are_handed_over() -> None:
    async with fleet_of(2) as fleet:
        router = Router(fleet, SECONDS)
        await router.calls([credit_call(user_id, 1000) for user_id in USERS])
        newer = moving(fleet, 1)
        user = next(u for u in USERS if slot_of(u) in newer.leaving)
        gate = fleet.store.hold("append")
        charging = asyncio.create_task(router.call(charge_call(user, 1, "k")))
        await at_the_gate(gate)
        fleet.tables.publish(newer)

        handing_over = asyncio.create_task(fleet.hand_over(1, newer.version))
        await until(lambda: fleet.running[1].shard.table == newer)
        assert not handing_over.done()
        gate.open()

        assert (await charging).outcome is Outcome.DONE
        assert await handing_over == newer.version
        assert user not in fleet.running[1].shard.accounts

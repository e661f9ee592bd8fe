"""All subscriptions are read once for all shards that ask together, and each gets those of its slots."""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterable, Sequence

import pytest

from actors.protocol.directory import SLOTS, slot_of
from actors.protocol.store import Moment, StorageUnavailableError
from actors.shard import shared_reading
from actors.shard.shared_reading import SharedReading
from actors.shard.warm_start import Owned
from domain.values import UserId
from tests.fakes.shards import in_loop, until

USERS = [UserId(f"user-{n}") for n in range(60)]
LOW, HIGH = range(SLOTS // 2), range(SLOTS // 2, SLOTS)
BATCH = 7


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_reading, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(shared_reading, "SUBSCRIPTIONS_PER_PART", 10)


class Passes:
    """Reads that the test counts. Each user has two subscriptions."""

    def __init__(self, fail_after: int = SLOTS) -> None:
        self.moments: list[list[Moment | None]] = []
        self.batches = self.closed = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self._fail_after = fail_after

    def __call__(self, moments: Iterable[Moment | None]) -> Generator[Sequence[Owned]]:
        self.moments.append(list(moments))
        try:
            for start in range(0, len(USERS), BATCH):
                assert self.go_on.wait(10)
                if self.batches == self._fail_after:
                    raise StorageUnavailableError("a fault was asked for")
                self.batches += 1
                yield [Owned(u, u, [b"1", b"2"]) for u in USERS[start : start + BATCH]]
        finally:
            self.closed += 1


async def all_of(shared: SharedReading, seat: str) -> list[UserId]:
    found: list[UserId] = []
    while (part := await shared.part(seat)) is not None:
        assert part
        found += [owned.user_id for owned in part]
    return found


def those_in(slots: Sequence[int]) -> list[UserId]:
    return [user for user in USERS if slot_of(user) in slots]


@in_loop
async def test_shards_that_ask_together_share_a_pass_and_get_their_own_each() -> None:
    passes = Passes()
    shared = SharedReading(passes)
    seats = [
        shared.join("a", LOW, (5, 1)),
        shared.join("b", HIGH, None),
        shared.join("c", (), (7, 0)),
    ]

    low, high, none = await asyncio.gather(*(all_of(shared, seat) for seat in seats))

    assert (low, high, none) == (those_in(LOW), those_in(HIGH), [])
    assert passes.moments == [[(5, 1), None, (7, 0)]]
    assert passes.closed == 1


@in_loop
async def test_a_pass_begins_once_no_shard_has_asked_for_a_moment() -> None:
    naps = 0

    async def nap(_seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps < 3:
            shared.join(f"shard {naps}", (), (naps, 0))

    passes = Passes()
    shared = SharedReading(passes, nap)

    assert await all_of(shared, shared.join("first", LOW, None)) == those_in(LOW)
    assert passes.moments == [[None, (1, 0), (2, 0)]]
    assert naps == 3


@in_loop
async def test_where_shards_go_on_asking_a_pass_begins_all_the_same() -> None:
    async def nap(_seconds: float) -> None:
        if not passes.moments:
            shared.join(f"shard {len(shared._seats)}", (), None)

    passes = Passes()
    shared = SharedReading(passes, nap)

    assert await all_of(shared, shared.join("first", LOW, None)) == those_in(LOW)
    assert len(passes.moments[0]) == 1 + shared_reading.GATHERS_MAX


@in_loop
async def test_who_asks_while_a_pass_goes_on_gets_one_that_begins_after_the_question() -> None:
    passes = Passes()
    passes.go_on.clear()
    shared = SharedReading(passes)
    first = shared.join("a", LOW, None)
    await until(lambda: passes.moments)
    second = shared.join("b", LOW, (9, 9))
    passes.go_on.set()

    assert await all_of(shared, first) == await all_of(shared, second) == those_in(LOW)
    assert passes.moments == [[None], [(9, 9)]]


@in_loop
async def test_a_pass_reads_no_further_than_its_slowest_shard_takes() -> None:
    passes = Passes()
    shared = SharedReading(passes)
    slow = shared.join("slow", LOW, None)
    quick = shared.join("quick", HIGH, None)
    got = asyncio.create_task(all_of(shared, quick))
    await until(shared._seats[slow].parts.full)

    assert passes.batches < len(USERS) // BATCH
    assert not got.done()
    shared.leave(slow)
    assert await got == those_in(HIGH)


@in_loop
async def test_a_part_of_long_documents_has_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_reading, "PART_BYTES_MAX", 4)
    shared = SharedReading(Passes())
    seat = shared.join("a", range(SLOTS), None)

    part = await shared.part(seat)

    assert part is not None
    assert [owned.user_id for owned in part] == USERS[:2]  # Two bytes of subscriptions each.
    shared.leave(seat)


@in_loop
async def test_a_pass_goes_on_without_a_shard_that_takes_nothing_which_then_joins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_reading, "SEAT_SECONDS_MAX", 0.05)
    shared = SharedReading(Passes())
    lost, quick = shared.join("lost", LOW, None), shared.join("quick", HIGH, None)

    assert await all_of(shared, quick) == those_in(HIGH)
    with pytest.raises(StorageUnavailableError):
        await shared.part(lost)
    assert await all_of(shared, shared.join("lost", LOW, None)) == those_in(LOW)


@in_loop
async def test_a_pass_that_nobody_waits_for_ends_early() -> None:
    passes = Passes()
    shared = SharedReading(passes)
    seat = shared.join("a", range(SLOTS), None)
    await shared.part(seat)

    shared.leave(seat)

    await until(lambda: passes.closed)
    assert passes.batches < len(USERS) // BATCH
    with pytest.raises(StorageUnavailableError):
        await shared.part(seat)


@in_loop
async def test_a_shard_that_was_started_again_takes_the_place_of_its_predecessor() -> None:
    passes = Passes()
    shared = SharedReading(passes)
    before = shared.join("a", range(SLOTS), None)
    await shared.part(before)

    again = shared.join("a", range(SLOTS), None)

    assert await all_of(shared, again) == USERS
    with pytest.raises(StorageUnavailableError):
        await shared.part(before)
    assert len(shared._seats) == 1


@in_loop
async def test_who_waits_for_a_part_is_told_when_the_seat_is_another_incarnations() -> None:
    shared = SharedReading(Passes())
    waiting = asyncio.create_task(shared.part(shared.join("a", LOW, None)))  # And it is killed.
    await asyncio.sleep(0)

    again = await all_of(shared, shared.join("a", LOW, None))

    assert again == those_in(LOW)
    with pytest.raises(StorageUnavailableError):
        await waiting


@in_loop
async def test_a_seat_of_a_process_that_was_ended_is_nobodys_in_the_next_one() -> None:
    before, after = SharedReading(Passes()), SharedReading(Passes())
    old = before.join("a", LOW, None)
    new = after.join("b", HIGH, None)

    with pytest.raises(StorageUnavailableError):
        await after.part(old)
    after.leave(old)
    assert await all_of(after, new) == those_in(HIGH)


@pytest.mark.parametrize("fails", [lambda: Passes(fail_after=3), lambda: broken])
@in_loop
async def test_where_the_reading_fails_every_shard_is_told_and_the_next_pass_is_read(
    fails: Callable[[], Callable[..., Generator[Sequence[Owned]]]],
) -> None:
    shared = SharedReading(fails())
    seats = [shared.join("a", LOW, None), shared.join("b", HIGH, None)]

    for seat in seats:
        with pytest.raises(StorageUnavailableError):
            await all_of(shared, seat)

    shared._read = Passes()
    assert await all_of(shared, shared.join("a", LOW, None)) == those_in(LOW)


def broken(_moments: Iterable[Moment | None]) -> Generator[Sequence[Owned]]:
    """Fail as a defect of ours would."""
    yield []
    raise ZeroDivisionError

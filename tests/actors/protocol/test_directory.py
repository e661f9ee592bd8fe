"""Slots are the same for ever, and one version of the table is in force at a time."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.cluster.resharding import Plan, table_at_start
from actors.mongo.directory import MongoDirectory
from actors.protocol.directory import SLOTS, Directory, even, moves_towards, slot_of
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.setups import MongoSetup


@pytest.mark.parametrize(
    ("user_id", "slot"), [("ann", 933), ("bob", 1170), ("65f0a1b2c3d4e5f601234567", 2192)]
)
def test_a_slot_is_the_same_in_every_process_for_ever(user_id: str, slot: int) -> None:
    assert slot_of(UserId(user_id)) == slot


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 4096])
def test_every_shard_gets_about_the_same_number_of_slots(shards: int) -> None:
    table = even(1, shards)

    counts = Counter(table.owners)

    assert table.shards == shards == len(counts)
    assert len(table.owners) == SLOTS
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("shards", [0, -1, 4097])
def test_a_number_of_shards_that_cannot_be_is_refused(shards: int) -> None:
    with pytest.raises(ValueError, match="shards"):
        even(1, shards)


def test_before_the_first_directory_there_is_none(mongo: MongoSetup) -> None:
    assert MongoDirectory(mongo.database).read() is None


def test_a_published_directory_comes_back_equal(mongo: MongoSetup) -> None:
    directory = MongoDirectory(mongo.database)

    assert directory.publish(even(1, 5))

    assert directory.read() == even(1, 5)


def test_of_two_programs_that_publish_one_version_the_first_wins(mongo: MongoSetup) -> None:
    directory = MongoDirectory(mongo.database)

    assert directory.publish(even(1, 2))
    assert not directory.publish(even(1, 3))
    assert directory.publish(even(2, 4))
    assert not directory.publish(even(2, 5))

    assert directory.read() == even(2, 4)


def test_a_directory_that_skips_a_version_is_not_published(mongo: MongoSetup) -> None:
    directory = MongoDirectory(mongo.database)
    directory.publish(even(1, 2))

    assert not directory.publish(Directory(3, even(1, 4).owners))


# --- another number of shards ---------------------------------------------------------------


def fewest_moves(owners: tuple[int, ...], shards: int) -> int:
    """Return how many slots have to move at least: counted, not chosen."""
    counts = Counter(owners)
    least, rest = divmod(len(owners), shards)
    held = sorted((counts[index] for index in range(shards)), reverse=True)
    stay = sum(min(count, least + (place < rest)) for place, count in enumerate(held))
    return len(owners) - stay


@given(st.lists(st.integers(0, 9), min_size=1, max_size=200).map(tuple), st.integers(1, 12))
def test_the_fewest_slots_move_and_then_all_shards_have_as_many(
    owners: tuple[int, ...], shards: int
) -> None:
    moves = moves_towards(owners, shards)

    after = [moves.get(slot, owner) for slot, owner in enumerate(owners)]
    counts = [after.count(index) for index in range(shards)]
    assert sum(counts) == len(owners)
    assert max(counts) - min(counts) <= 1
    assert len(moves) == fewest_moves(owners, shards)
    assert all(owners[slot] != owner for slot, owner in moves.items())


@pytest.mark.parametrize(
    ("before", "after", "moved"), [(3, 8, 2560), (8, 2, 3072), (2, 3, 1365), (1, 256, 4080)]
)
def test_a_part_moves_at_a_time_and_in_all_no_more_than_at_once(
    before: int, after: int, moved: int
) -> None:
    tables = [even(1, before)]
    assert tables[0].slots_to_move(after) == moved
    while newer := tables[-1].towards(after, 128):
        tables.append(newer)

    ways = [slot for table in tables for slot in table.leaving]
    assert len(ways) == len(set(ways)) == moved
    assert max(len(table.leaving) for table in tables) <= 128
    assert [table.version for table in tables] == list(range(1, len(tables) + 1))
    assert not tables[-1].leaving
    assert tables[-1].slots_to_move(after) == 0
    for older, newer in pairwise(tables):
        assert newer.leaving.keys().isdisjoint(older.leaving)
        changed = {s for s in range(SLOTS) if older.owners[s] != newer.owners[s]}
        assert newer.leaving == {slot: older.owners[slot] for slot in changed}


def test_nobody_answers_for_a_slot_on_its_way_and_its_former_owner_writes_its_views() -> None:
    newer = even(1, 3).towards(8, 128)
    assert newer is not None
    slot = next(iter(newer.leaving))
    user = next(u for u in map(UserId, map(str, range(100_000))) if slot_of(u) == slot)

    assert slot_of(user) in newer.leaving
    assert not any(newer.answers(index, user) for index in range(8))
    assert [i for i in range(8) if newer.writes_views(i, user)] == [newer.leaving[slot]]
    assert slot not in newer.slots(newer.leaving[slot]) | newer.slots(newer.owners[slot])


def test_a_shard_counts_until_its_last_slot_has_left_and_longer() -> None:
    table: Directory | None = even(1, 8)
    seen = []
    while table is not None:
        seen.append(table.shards)
        table = table.towards(2, 1024)

    assert set(seen) == {8}


def test_a_directory_with_slots_on_their_way_comes_back_equal(mongo: MongoSetup) -> None:
    directory = MongoDirectory(mongo.database)
    newer = even(1, 2).with_shards(4).towards(4, 100)
    assert newer is not None
    directory.publish(even(1, 2))
    directory.publish(even(1, 2).with_shards(4))

    assert directory.publish(newer)

    assert directory.read() == newer


def test_of_two_plans_the_first_is_kept_until_it_is_carried_out(mongo: MongoSetup) -> None:
    directory = MongoDirectory(mongo.database)
    plan = Plan(8, 3, 2560, NOON)
    assert directory.plan() is None

    assert directory.begin(plan)
    assert not directory.begin(Plan(2, 3, 1, NOON))
    assert directory.plan() == plan
    directory.end(plan._replace(ended_at=NOON))
    assert directory.begin(Plan(2, 8, 3072, NOON))

    assert directory.plan() == Plan(2, 8, 3072, NOON)
    assert directory.read() is None


def test_the_directory_says_how_many_shards_there_are_after_the_first_start(
    mongo: MongoSetup, caplog: pytest.LogCaptureFixture
) -> None:
    directory = MongoDirectory(mongo.database)

    assert table_at_start(directory, 3, is_set=True) == even(1, 3) == directory.read()
    assert table_at_start(directory, 8, is_set=False) == even(1, 3)
    assert not caplog.records
    assert table_at_start(directory, 8, is_set=True) == even(1, 3)

    assert "`allotment reshard --shards 8`" in caplog.text

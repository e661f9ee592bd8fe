"""Slots are the same for ever, and one version of the table is in force at a time."""

from collections import Counter

import pytest

from actors.directory import SLOTS, Directory, even, slot_of
from actors.mongo.directory import MongoDirectory
from domain.values import UserId
from tests.actors.setups import MongoSetup


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

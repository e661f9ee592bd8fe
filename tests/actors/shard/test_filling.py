"""Who stays out while RAM is filled, and since when something of theirs may be in the journal alone."""

from datetime import timedelta

from actors.runtime.counters import Counters
from actors.shard.filling import Filling
from domain.values import UserId
from tests.builders.authors import NOON

ANN, BOB = UserId("ann"), UserId("bob")
LATER = NOON + timedelta(seconds=1)


def test_who_is_left_out_is_so_since_the_first_time_and_until_a_load() -> None:
    filling = Filling(Counters())
    filling.leave_out([ANN, BOB], NOON)
    filling.leave_out([ANN], LATER)

    assert filling.left_out(lambda _: True) == {ANN: NOON, BOB: NOON}
    assert filling.left_out(BOB.__eq__) == {BOB: NOON}
    assert not filling.admits(ANN, [])

    filling.loaded(ANN)
    assert filling.left_out(lambda _: True) == {BOB: NOON}
    assert filling.admits(ANN, [])


def test_whose_journal_is_broken_stays_out_and_no_load_is_waited_for() -> None:
    filling = Filling(Counters())
    filling.leave_out([ANN], NOON)
    filling.leave_out([ANN])

    assert filling.left_out(lambda _: True) == {}
    assert not filling.admits(ANN, [])

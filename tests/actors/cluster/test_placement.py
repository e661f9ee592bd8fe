"""Shards are spread evenly over nodes, and no more of them move than that takes."""

from collections import Counter
from random import Random

import pytest

from actors.cluster.placement import elsewhere, evenly


def test_who_can_stay_stays() -> None:
    where = {"s0": "a", "s1": "a", "s2": "b", "s3": "b"}

    assert evenly(where, ["a", "b"]) == where


def test_a_node_that_has_joined_gets_its_share() -> None:
    where = dict.fromkeys(["s0", "s1", "s2", "s3", "s4"], "a")

    placed = evenly(where, ["a", "new"])

    assert Counter(placed.values()) == {"a": 3, "new": 2}


def test_what_has_no_node_or_one_that_takes_nothing_gets_another() -> None:
    placed = evenly({"s0": None, "s1": "gone", "s2": "a"}, ["a", "b"])

    assert placed["s2"] == "a"
    assert Counter(placed.values()) == {"a": 2, "b": 1}


@pytest.mark.parametrize("seed", range(50))
def test_no_node_gets_two_more_than_another_and_moves_are_few(seed: int) -> None:
    dice = Random(seed)
    nodes = [f"n{number}" for number in range(dice.randint(1, 6))]
    where = {
        f"s{number}": dice.choice([*nodes, "gone", None]) for number in range(dice.randint(1, 20))
    }

    placed = evenly(where, nodes)

    loads = Counter(placed.values())
    assert placed.keys() == where.keys()
    assert max(loads[n] for n in nodes) - min(loads[n] for n in nodes) <= 1
    now = Counter(where.values())
    share, more = divmod(len(where), len(nodes))
    fullest = sorted((now[n] for n in nodes), reverse=True)
    staying = sum(min(load, share + (place < more)) for place, load in enumerate(fullest))
    assert sum(placed[s] == where[s] for s in where) == staying


def test_what_leaves_a_node_goes_to_the_emptiest_and_nothing_else_moves() -> None:
    where = {"s0": "a", "s1": "b", "s2": "leaving", "s3": "leaving", "s4": "b"}

    assert elsewhere(where, "leaving", ["a", "b", "c"]) == {"s2": "c", "s3": "a"}

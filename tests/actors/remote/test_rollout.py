"""Which node may be drained is decided before anything is touched."""

import pickle
from pathlib import Path

import pytest

from actors.remote.nodes import Node, Standing
from actors.remote.rollout import NotMovedError, drainable
from actors.runtime.code_digest import code_digest
from actors.settings import Settings

HEAD = Node("0head", Standing.OPEN, is_head=True)
ONE = Node("1one", Standing.OPEN, is_head=False)
OTHER = Node("1other", Standing.DRAINING, is_head=False)
LOST = Node("2lost", Standing.GONE, is_head=False)
ALL = [HEAD, ONE, OTHER, LOST]


@pytest.mark.parametrize(("wanted", "node"), [("1one", ONE), ("1on", ONE), ("1ot", OTHER)])
def test_a_node_is_found_by_how_its_id_begins(wanted: str, node: Node) -> None:
    assert drainable(ALL, wanted) == node


@pytest.mark.parametrize(
    ("known", "wanted", "sentence"),
    [
        (ALL, "3", "There is no node 3."),
        (ALL, "", "There is no node ."),
        (ALL, "2", "Node 2 has left already."),
        (ALL, "1o", "2 nodes begin with 1o"),
        (ALL, "0head", "The head node cannot be drained"),
        ([ONE, OTHER, LOST], "1one", "It is the last node"),
    ],
)
def test_a_node_that_cannot_be_drained_is_refused(
    known: list[Node], wanted: str, sentence: str
) -> None:
    with pytest.raises(NotMovedError, match=sentence.replace(".", r"\.")):
        drainable(known, wanted)


def test_settings_of_an_older_version_gain_the_defaults_of_the_newer_one() -> None:
    older = Settings(_env_file=None, shards=3)
    del older.__dict__["journal_days"]

    newer = pickle.loads(pickle.dumps(older))

    assert (newer.shards, newer.journal_days) == (3, 30)


def test_the_digest_of_the_code_follows_the_code(tmp_path: Path) -> None:
    (tmp_path / "actors").mkdir()
    (tmp_path / "domain").mkdir()
    (tmp_path / "actors" / "one.py").write_text("ONE = 1")
    before = code_digest(tmp_path)

    (tmp_path / "actors" / "one.py").write_text("ONE = 2")

    assert code_digest(tmp_path) != before
    assert code_digest() == code_digest()

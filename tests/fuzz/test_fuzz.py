"""A short look with every target, with the same inputs each time; `python -m tests.fuzz` looks on."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.choices import Choices
from tests.fuzz.looking import look
from tests.fuzz.targets import TARGETS

HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
EXECUTIONS = {
    "entries": 15_000,
    "subscriptions": 15_000,
    "records": 15_000,
    "ids": 60_000,
    "key-sets": 30_000,
}
EXECUTIONS_ELSE = 150_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_our_own_code_makes_is_read(name: str) -> None:
    for example in TARGETS[name].examples():
        TARGETS[name].run(example)


@pytest.mark.skipif(not HAS_ATHERIS, reason="no input was made up: atheris has no wheel here")
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_brings_out_more_than_is_promised(name: str, tmp_path: Path) -> None:
    found = look(name, tmp_path, executions=EXECUTIONS.get(name, EXECUTIONS_ELSE))

    assert not found.failed, found.told
    assert found.executions > len(TARGETS[name].examples())


def test_the_same_bytes_are_the_same_choices() -> None:
    first, second = (Choices(bytes(range(40))) for _ in range(2))

    assert [first.number(1000) for _ in range(9)] == [second.number(1000) for _ in range(9)]
    assert first.rest() == second.rest()
    assert first.are_spent


def test_an_input_that_was_found_can_be_tried_again(tmp_path: Path) -> None:
    """The program says what it promises not to, and ends with another code than 0."""
    signed = tmp_path / "input"
    signed.write_bytes(TARGETS["tokens"].examples()[0])
    command = [sys.executable, "-m", "tests.fuzz", "--target", "tokens", "--replay", str(signed)]

    done = subprocess.run(command, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr

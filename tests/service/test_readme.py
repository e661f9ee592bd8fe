"""The README is true: every command and request of it is run, from its own text.

`sh` and `python` blocks run one after the other; a `text` block names what the block before it
printed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from actors.settings import Settings
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SECONDS_MAX = PATIENCE_SECONDS


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found]


def here(text: str, service: RunningService) -> str:
    """Return a block as it is run in this place: another port, folder and environment."""
    text = text.replace("http://127.0.0.1:8000", service.address)
    text = text.replace(".allotment/", f"{service.data_dir}/")
    return text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")


def run(block: Block, service: RunningService) -> str:
    program = ["bash", "-euc"] if block.language == "sh" else [sys.executable, "-c"]
    connected = {"RAY_ADDRESS": service.ray_address, "RAY_AUTH_MODE": "token", "KEY": service.key}
    done = subprocess.run(
        [*program, here(block.text, service)],
        cwd=ROOT,
        env=service.environment() | connected,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    assert '"code":' not in done.stdout, f"{block.text}\n{done.stdout}"
    return done.stdout


def test_every_command_and_request_of_the_readme_does_what_it_says(
    rehearsal: RunningService,
) -> None:
    printed, ran = "", 0
    for block in blocks():
        if block.language in ("sh", "python") and "make " not in block.text:
            printed = run(block, rehearsal)
            ran += 1
        elif block.language == "text":
            for line in block.text.splitlines():
                assert line in printed, f"{line} is not in {printed}"

    assert ran >= 4


def test_the_two_commands_are_there() -> None:
    (block,) = [block for block in blocks() if "make " in block.text]
    targets = [line.split()[1] for line in block.text.splitlines()]

    done = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/.ready", *targets],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )

    assert targets == ["run", "test"]
    assert "allotment up" in done.stdout
    assert "python -m tests" in done.stdout


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table(name: str) -> None:
    assert f"| `ALLOTMENT_{name.upper()}` |" in README

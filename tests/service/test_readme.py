"""The README and the pages of its interface are true: every block of theirs is run as it is.

`sh` and `python` blocks run one after the other, page by page; a `text` block names what the block
before it printed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/python.md", "docs/http.md", "docs/commands.md"]
SECONDS_MAX = PATIENCE_SECONDS


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page that are run, or that say what was printed."""
    text = (ROOT / page).read_text()
    found = re.findall(r"^```(sh|python|text)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found if "make " not in text]


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


def test_every_command_and_request_of_the_pages_does_what_it_says(
    rehearsal: RunningService,
) -> None:
    for page in PAGES:
        ran, printed = 0, ""
        for block in blocks(page):
            if block.language != "text":
                printed = run(block, rehearsal)
                ran += 1
                continue
            for line in block.text.splitlines():
                assert line in printed, f"{page}: {line} is not in {printed}"
        assert ran, page


def test_the_two_commands_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)

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

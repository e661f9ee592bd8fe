"""Runs a page of the documentation as its reader would: block by block, from its own text.

`sh` and `python` blocks run one after the other; a `text` block names what the block before it
printed. Variables that an `sh` block exports stay set.
"""

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.patience import PATIENCE_SECONDS

EXPORTS = '\nenv -0 > "$EXPORTED"'


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found]


class Reader:
    """Follows a page in a folder, with a Python of that folder."""

    def __init__(
        self,
        folder: Path,
        python: str,
        environment: Mapping[str, str],
        here: Callable[[str], str],
    ) -> None:
        self._folder = folder
        self._python = python
        self._environment = dict(environment)
        self._here = here
        """Returns the text of a block as it is run in this place: another port, for example."""

    def follow(self, blocks: list[Block], *, servers: str) -> int:
        """Run every block, those that name `servers` beside the others; return how many ran."""
        printed, ran = "", 0
        with contextlib.ExitStack() as running:
            for block in blocks:
                if block.language == "text":
                    for line in block.text.splitlines():
                        assert line in printed, f"{line} is not in {printed}"
                elif servers in block.text and block.language == "sh" and "cat >" not in block.text:
                    running.enter_context(self._served(block))
                    ran += 1
                elif block.language in ("sh", "python"):
                    printed = self._run(block)
                    ran += 1
        return ran

    def _run(self, block: Block) -> str:
        exported = self._folder / "exported"
        is_shell = block.language == "sh"
        program = ["bash", "-euc"] if is_shell else [self._python, "-c"]
        done = subprocess.run(
            [*program, self._here(block.text) + EXPORTS * is_shell],
            cwd=self._folder,
            env=self._environment | {"EXPORTED": str(exported)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
        if is_shell:
            pairs = exported.read_text().split("\0")
            self._environment = dict(pair.split("=", 1) for pair in pairs if pair)
        return done.stdout

    @contextlib.contextmanager
    def _served(self, block: Block) -> Iterator[None]:
        """Run a block that serves until the page is at its end."""
        output = self._folder / "served"
        with output.open("w") as log:
            process = subprocess.Popen(
                ["bash", "-euc", f"exec {self._here(block.text)}"],
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "Uvicorn running" not in output.read_text():
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_SECONDS)

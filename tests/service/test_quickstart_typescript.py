"""docs/quickstart-typescript.md is true: every block of it is run, from its own text.

A block that names a file is that file; the other programs run one after the other, as a user would
run them; a `text` block is what the program before it printed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients.typescript import CLIENT, COMMAND_SECONDS_MAX, ROOT, needs_node
from tests.service.running import RunningService

pytestmark = pytest.mark.service

PAGE = (ROOT / "docs" / "quickstart-typescript.md").read_text()
MADE = {"node_modules", "build", "dist", "LICENSE"}
"""What is in the client's folder and not in the repository."""
USER = "quickstart"  # Of several tests only this one knows her.
OPTIONS = {
    "module": "nodenext",
    "target": "es2022",
    "strict": True,
    "skipLibCheck": True,
    "outDir": "built",
    "rootDir": ".",
    "types": ["node"],
}


class Block(NamedTuple):
    """One fenced block: a language, and what stands behind it."""

    language: str
    name: str
    text: str


class Reader:
    """A user with a copy of the repository, an empty folder for an application, and a page."""

    def __init__(self, directory: Path, service: RunningService) -> None:
        self.copy, self.application = directory / "allotment", directory / "application"
        self._environment = service.environment() | {
            "ALLOTMENT": str(self.copy),
            "ALLOTMENT_URL": service.address,
        }
        self.programs = 0
        shutil.copytree(
            CLIENT,
            self.copy / "clients" / "typescript",
            ignore=lambda _folder, names: MADE.intersection(names),
        )
        shutil.copy(ROOT / "LICENSE", self.copy)
        self.application.mkdir()
        (self.application / "package.json").write_text(json.dumps({"type": "module"}))
        (self.application / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS}))

    def follow(self, block: Block) -> str | None:
        """Do what a block says, and return what it printed; None: it is no program."""
        text = block.text.replace('"ada"', f'"{USER}"')
        match block.language, block.name:
            case "sh", place:
                return self._command(text, self.application if place else self.copy)
            case "ts", "":
                self.programs += 1
                return self._program(f"step{self.programs}", text)
            case "ts", name:
                (self.application / name).write_text(text)
        return None

    def _command(self, text: str, place: Path) -> str:
        text = text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        if "keys create" not in text:
            return self._run(place, "bash", "-euc", text)
        self._environment["ALLOTMENT_KEY"] = self._run(ROOT, "bash", "-euc", text).strip()
        return ""

    def _program(self, name: str, text: str) -> str:
        (self.application / f"{name}.ts").write_text(text)
        for needed in ("mongoose", "@types"):  # An application has its own.
            link = self.application / "node_modules" / needed
            if not link.exists():
                link.symlink_to(CLIENT / "node_modules" / needed)
        compiler = CLIENT / "node_modules" / ".bin" / "tsc"
        self._run(self.application, str(compiler), "--project", ".")
        return self._run(self.application, "node", f"built/{name}.js")

    def _run(self, place: Path, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=place,
            env=os.environ | self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [Block(*parts) for parts in found]


def files_first(found: list[Block]) -> list[Block]:
    """Return the blocks with those that are files at the beginning of those that need them."""
    named = [block for block in found if block.language == "ts" and block.name]
    return named + [block for block in found if block not in named]


def test_every_block_of_the_page_does_what_it_says(service: RunningService, tmp_path: Path) -> None:
    needs_node()
    reader = Reader(tmp_path, service)
    printed: str | None = None
    for block in files_first(blocks()):
        if "make " in block.text:
            continue
        if block.language == "text":
            assert printed == block.text
        else:
            printed = reader.follow(block)

    assert reader.programs >= 7

"""docs/middleware.md is true: its programs are run, and asked, from the page's own text.

A `js` block is a file, named in its first line; those that listen serve until the next one. A `text`
block names what the `sh` block before it printed.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from bench.processes import free_port
from tests.clients.node_programs import NodeServer, environment
from tests.patience import PATIENCE_SECONDS
from tests.service.requests import add_credits, status
from tests.service.running import RunningService

pytestmark = pytest.mark.service

PAGE = Path(__file__).parents[2] / "docs" / "middleware.md"
USER = "ada-behind-middleware"
SPENT = 3 * 12 + 9 + 1  # Three routes, a stream, and one that was aborted.
ROUTE = "app/api/chat/route.js"
# What Next does with a file of this name.
NEXT = """
import { serve } from "@hono/node-server";
import { POST } from "./app/api/chat/route.js";

const context = { params: Promise.resolve({}) };
const fetch = (request) => POST(request, context);
serve({ fetch, port: 3000 }, () => console.log("listening"));
"""
# A provider whose model says hello in two words, and waits with the second one if it is aborted.
PROVIDER = """
import { simulateReadableStream } from "ai";
import { MockLanguageModelV3 } from "ai/test";

const usage = {
  inputTokens: { total: 1500, noCache: 500, cacheRead: 1000, cacheWrite: 0 },
  outputTokens: { total: 75, text: 75, reasoning: 0 },
};
const chunks = [
  { type: "stream-start", warnings: [] },
  { type: "text-start", id: "t" },
  { type: "text-delta", id: "t", delta: "Hello" },
  { type: "text-delta", id: "t", delta: ", world!" },
  { type: "text-end", id: "t" },
  { type: "finish", usage, finishReason: { unified: "stop", raw: "stop" } },
];
export const openai = (modelId) =>
  new MockLanguageModelV3({
    modelId,
    doStream: async () => ({ stream: simulateReadableStream({ chunks, chunkDelayInMs: 20 }) }),
  });
"""


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str


@pytest.fixture(scope="module")
def directory(packages: Path) -> Path:
    """Return where the page's programs find the packages that they import."""
    found = packages / "middleware"
    provider = found / "node_modules" / "@ai-sdk" / "openai"
    provider.mkdir(parents=True)
    (provider / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (provider / "index.js").write_text(PROVIDER)
    (found / "package.json").write_text('{"type": "module"}')
    return found


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(language, text) for language, text in found]


class Reader:
    """Somebody who does what the page says, in one directory."""

    def __init__(self, directory: Path, service: RunningService) -> None:
        self.printed = ""
        self._directory = directory
        self._settings = {"ALLOTMENT_URL": service.address, "ALLOTMENT_KEY": service.key}
        self._port = free_port()
        self._serving = contextlib.ExitStack()

    def write(self, program: str) -> None:
        """Write a file; one that serves does so, in the place of the one before."""
        name = program.splitlines()[0].removeprefix("// ")
        file = self._written(name, program)
        if name == ROUTE:
            file = self._written("next.js", NEXT)
        if name == ROUTE or "listening" in program:
            self._serving.close()
            self._serving.enter_context(NodeServer(file, **self._settings))

    def run(self, commands: str) -> None:
        done = subprocess.run(
            ["bash", "-euc", self._here(commands)],
            cwd=self._directory,
            env=environment(**self._settings),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        self.printed = done.stdout

    def close(self) -> None:
        self._serving.close()

    def _written(self, name: str, program: str) -> Path:
        file = self._directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._here(program))
        return file

    def _here(self, text: str) -> str:
        """Return a text as it is in this place: another port, and a user nobody else charges."""
        return re.sub(r"\bada\b", USER, text).replace("3000", str(self._port))


@pytest.fixture
def reader(directory: Path, service: RunningService) -> Iterator[Reader]:
    reader = Reader(directory, service)
    yield reader
    reader.close()


def test_every_program_of_the_page_does_what_it_says(reader: Reader, http: httpx.Client) -> None:
    assert add_credits(http, USER).status_code == 201

    asked = 0
    for block in blocks():
        if block.language == "js":
            reader.write(block.text)
        elif block.language == "sh":
            reader.run(block.text)
            asked += 1
        elif block.language == "text":
            for line in block.text.splitlines():
                assert line in reader.printed, f"{line} is not in {reader.printed}"

    assert asked == 5
    assert status(http, USER)["remaining_credits"] == 90 - SPENT
    assert status(http, USER)["credits_held"] == 0

"""Programs of Node that use the TypeScript package, installed and started as users would."""

import os
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.clients.typescript import CLIENT, install_package
from tests.patience import PATIENCE_SECONDS

SECONDS_MAX = PATIENCE_SECONDS
FROM_THE_LOCK = ("express", "hono", "@hono", "ai", "@types")
"""What programs import beside the package: the versions that its own tests use."""


def install_packages(directory: Path) -> None:
    """Install the package as it is published, for programs in this directory and below."""
    install_package(directory)
    for name in FROM_THE_LOCK:
        (directory / "node_modules" / name).symlink_to(CLIENT / "node_modules" / name)


def environment(**settings: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ALLOTMENT_")}
    return inherited | settings


def output_of(file: Path, **settings: str) -> str:
    """Run a program to its end, and return what it printed."""
    done = subprocess.run(
        ["node", str(file)],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{file.name} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Server:
    """A command that serves until it is told to end. It says so in a line with `listening` in it."""

    def __init__(self, *command: str | Path, listening: str = "listening", **settings: str) -> None:
        self.output: list[str] = []
        self._command = command
        self._listening = listening
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """Where it says that it listens."""
        (line,) = [line for line in self.output if line.startswith("listening on ")]
        return line.removeprefix("listening on ").strip()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            env=environment(**self._settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        listens = threading.Event()
        threading.Thread(target=self._read_output, args=(listens,), daemon=True).start()
        if not listens.wait(SECONDS_MAX) or self._process.poll() is not None:
            self._process.kill()
            raise AssertionError("it does not listen:\n" + "".join(self.output))
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        assert self._process is not None, "it was started"
        self._process.terminate()
        self._process.wait(SECONDS_MAX)

    def _read_output(self, listens: threading.Event) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line)
                if self._listening in line:
                    listens.set()
        listens.set()


class NodeServer(Server):
    """A program of Node's that serves."""

    def __init__(self, file: Path, **settings: str) -> None:
        super().__init__("node", file, **settings)

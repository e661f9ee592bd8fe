"""What the processes of a running service take: memory and processor time, by what they are. Linux only."""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
SHARD = "ShardActor"  # What a shard's process is called here.


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as it is now."""

    pid: int
    name: str
    """The actor that Ray has named it after; else its program."""
    cpu_seconds: float
    megabytes: float


def processes_with(variable: str, value: str) -> list[Process]:
    """Return the processes whose environment has this. BenchError: this is no Linux."""
    if not PROC.is_dir():
        raise BenchError("processes are looked up in /proc, and this system has none")
    mark = f"{variable}={value}".encode()
    return list(_with(mark))


def process(pid: int) -> Process:
    """Return one process. OSError: it has ended."""
    folder = PROC / str(pid)
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    pages = int((folder / "statm").read_text().split()[1])
    return Process(
        pid,
        _name(folder),
        (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND,
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
    )


def by_name(found: list[Process]) -> dict[str, list[Process]]:
    """Return processes by what they are."""
    kinds: defaultdict[str, list[Process]] = defaultdict(list)
    for one in found:
        kinds[one.name].append(one)
    return dict(kinds)


@contextlib.contextmanager
def stopped_and_killed(pid: int) -> Iterator[None]:
    """Have a process do nothing during the block, and end with it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)


def _with(mark: bytes) -> Iterator[Process]:
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It is another user's, or has ended.
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                yield process(int(folder.name))


def _name(folder: Path) -> str:
    words = (folder / "cmdline").read_bytes().split(b"\0")
    title = words[0].decode(errors="replace")
    if title.startswith("ray::"):
        return title.removeprefix("ray::").partition(":")[0].partition(".")[0]
    return Path(title.partition(" ")[0]).name  # Some put their whole command line there.

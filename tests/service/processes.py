"""Finds the processes of a running service, for those who stop and kill them."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from actors.mongo.embedded_wire import Documents
from actors.shard.lease import Holder, this_process
from tests.service.running import RunningService


def actor_pids(service: RunningService, title: str) -> set[int]:
    """Return the service's processes that Ray has given this title."""
    ours = f"ALLOTMENT_DATA_DIR={service.data_dir}".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            if (process / "cmdline").read_bytes().startswith(f"ray::{title}".encode()) and (
                ours in (process / "environ").read_bytes().split(b"\0")
            ):
                found.add(int(process.name))
    return found


def all_pids(service: RunningService) -> set[int]:
    """Return all processes of a service: those with its settings, and what they have started."""
    ours = f"ALLOTMENT_DATA_DIR={service.data_dir}".encode()
    parents: dict[int, int] = {}
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            parents[int(process.name)] = int(
                (process / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if ours in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def open_files(pid: int) -> list[str]:
    """Return what a process has open, as Linux names it."""
    found = []
    with contextlib.suppress(OSError):  # It has ended meanwhile.
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(entry.readlink()))
    return found


def actor_pid(service: RunningService, title: str) -> int:
    """Return one of those processes, where there is one."""
    found = actor_pids(service, title)
    assert found, f"{title} does not run"
    return min(found)


def shard_pids(database: Documents, shard: str) -> set[int]:
    """Return the process that has taken a shard's lease last, if it may still be there."""
    held = (database.allotment_shards.find_one({"_id": shard}) or {}).get("holder")
    if not held:
        return set()
    holder = Holder(**held)
    if holder.machine == this_process().machine:
        return {holder.pid}
    return {pid for pid in pids_in(holder.machine.split()[-1]) if own_pid(pid) == holder.pid}


def shard_pid(database: Documents, shard: str) -> int:
    """Return that process, where there is one."""
    (found,) = shard_pids(database, shard)
    return found


def pids_in(space: str) -> Iterator[int]:
    """Yield the processes that live in a space of process numbers, by their numbers in ours."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            if str((process / "ns/pid").readlink()) == space:
                yield int(process.name)


def own_pid(pid: int) -> int | None:
    """Return the number a process has in its own space; None: it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return None


def runs(pid: int) -> bool:
    """Whether a process is there, stopped or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wake(pid: int) -> None:
    """Let a stopped process go on, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def database_pid(service: RunningService) -> int:
    folder = str(service.data_dir / "mongo")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if folder in words and "--storage-path" in words:
            return int(process.name)
    raise AssertionError("the embedded database does not run")

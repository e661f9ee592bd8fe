"""Finds the processes of a running service, for those who stop and kill them."""

import contextlib
import os
import signal
from pathlib import Path

from actors.mongo.connection import Documents
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


def actor_pid(service: RunningService, title: str) -> int:
    """Return one of those processes, where there is one."""
    found = actor_pids(service, title)
    assert found, f"{title} does not run"
    return min(found)


def shard_pid(database: Documents, shard: str) -> int:
    """Return the process that has taken a shard's lease last."""
    mark = database.shards.find_one({"_id": shard}) or {}
    return int(mark["holder"]["pid"])


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

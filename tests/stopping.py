"""Stopping a process so that it does nothing any more, as one does that hangs."""

import os
import signal
import time
from pathlib import Path

from tests.patience import PATIENCE_SECONDS

STOP_SECONDS_MAX = PATIENCE_SECONDS
STOPPED = ("T", "t", "Z", "X")  # States of a task that runs no further: stopped, traced, ended.


def stop_process(pid: int) -> None:
    """Send SIGSTOP, and return once no thread runs: the others do until one has taken the signal."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while not all(state in STOPPED for state in _states(pid)):
        assert time.monotonic() < deadline, "the process does not stop"
        os.sched_yield()


def _states(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            found.append(task.read_text().rpartition(")")[2].split()[0])
        except OSError:  # The thread has ended meanwhile.
            continue
    return found

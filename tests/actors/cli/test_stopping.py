"""A service ends when a signal asks for it, wherever the signal comes."""

import subprocess
import sys

from tests.patience import PATIENCE_SECONDS

# Waits again and again; the signal comes one line later each time. It prints how many lines there are.
INTERRUPTED = """
import signal
import sys

from actors.cli.stopping import Stopping


def is_told(line):
    stopping = Stopping.by_signals()
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        if event == "line" and lines == line:
            signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    told = stopping.wait(0.1)
    sys.settrace(None)
    assert told == stopping.is_asked() == (line <= lines), line
    return told


line = 1
while is_told(line):
    line += 1
print(line - 1)
"""


def test_a_signal_is_heard_at_every_line_of_waiting() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 1

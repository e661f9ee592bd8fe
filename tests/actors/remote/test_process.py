"""How the processes of our actors behave beside each other."""

import os
import sys
import threading

import pytest

from actors.remote.process import NICENESS, stand_back

NICENESS_MAX = 19  # Of Linux.


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere all threads of a process are as nice"
)
def test_a_thread_that_stands_back_has_those_do_so_that_it_starts_and_no_other() -> None:
    ours = os.nice(0)
    seen: list[int] = []

    def stand_back_and_start() -> None:
        stand_back()
        started = threading.Thread(target=lambda: seen.append(os.nice(0)))
        started.start()
        started.join()

    thread = threading.Thread(target=stand_back_and_start)
    thread.start()
    thread.join()

    assert seen == [min(ours + NICENESS, NICENESS_MAX)]
    assert os.nice(0) == ours

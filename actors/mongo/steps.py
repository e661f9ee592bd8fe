"""Steps that may take long, as an operator is told of them: once at first, then for how long."""

import contextlib
import threading
from collections.abc import Callable, Iterator

STEP_SECONDS_MAX = 86_400.0  # How long an index or a rename may take: as long as it needs.
TELL_SECONDS = 10.0  # How often it is told that a step goes on.

Tell = Callable[[str], None]
"""Given a line a step."""


@contextlib.contextmanager
def telling(step: str, tell: Tell, *, at_once: bool = True) -> Iterator[None]:
    """Tell of a step, and again and again for how long it has been going on."""
    if at_once:
        tell(step)
    done = threading.Event()

    def go_on() -> None:
        seconds = 0.0
        while not done.wait(TELL_SECONDS):
            seconds += TELL_SECONDS
            tell(f"{step} ({seconds:.0f} s so far)")

    thread = threading.Thread(target=go_on, name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

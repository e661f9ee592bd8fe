"""Shows how far a run is: a bar on a terminal; in a file, a line as each part begins."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 10.0  # Between two lines of parts that have the same name.
STEP_SECONDS = 20.0  # Between two lines about a step whose parts are not counted.
REFRESHES_PER_SECOND = 2  # Drawing takes its share of the processor, too.

Part = TypeVar("Part")


def begin(console: Console, step: str) -> None:
    """Say that a step begins whose parts are not counted."""
    console.print(step, highlight=False, markup=False)


@contextmanager
def long_step(console: Console, name: str, line_seconds: float = STEP_SECONDS) -> Iterator[None]:
    """Say that a step begins whose parts are not counted, and now and then how long it takes."""
    begin(console, name)
    began, is_over = time.monotonic(), threading.Event()

    def say() -> None:
        while not is_over.wait(line_seconds):
            taken = timedelta(seconds=round(time.monotonic() - began))
            begin(console, f"{name}, for {taken}")

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    try:
        yield
    finally:
        is_over.set()
        saying.join()


def track(
    console: Console,
    parts: Sequence[Part],
    name: Callable[[Part], str],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Part]:
    """Yield the parts; show which one begins, how many there are, and how long the rest takes."""
    if console.is_terminal:
        return with_bar(console, parts, name)
    return with_lines(console, parts, name, clock)


def with_bar(
    console: Console, parts: Sequence[Part], name: Callable[[Part], str]
) -> Iterator[Part]:
    """Yield the parts while a bar fills."""
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=REFRESHES_PER_SECOND,
    )
    with progress:
        task = progress.add_task("", total=len(parts))
        for part in parts:
            progress.update(task, description=name(part))
            yield part
            progress.advance(task)


def with_lines(
    console: Console,
    parts: Sequence[Part],
    name: Callable[[Part], str],
    clock: Callable[[], float],
) -> Iterator[Part]:
    """Yield the parts with a line for each new name, and for others every LINE_SECONDS."""
    began = clock()
    shown, shown_at = "", began
    for number, part in enumerate(parts):
        now = clock()
        if name(part) != shown or now - shown_at >= LINE_SECONDS:
            shown, shown_at = name(part), now
            left = time_left(now - began, number, len(parts))
            begin(console, f"[{number + 1}/{len(parts)}] {shown}{left}")
        yield part


def time_left(seconds: float, done: int, total: int) -> str:
    """Return the words for how long the rest takes if it goes on as it has; none at the start."""
    if not done:
        return ""
    return f", about {timedelta(seconds=round(seconds / done * (total - done)))} left"

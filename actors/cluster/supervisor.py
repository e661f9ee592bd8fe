"""Finds actors that hang, and has them started again.

A process that ends is started again by Ray; one that is stopped, whose loop is blocked, or that
answers while its work stands still, is not.
The supervisor lives in the process that started the service, whose end is the service's end, so
it needs no supervisor of its own.
"""

import logging
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

LOOK_SECONDS = 1.0  # Between two looks.
SILENT_LOOKS_MAX = 5  # An actor that has not answered for so many looks hangs.
STARTING_LOOKS_MAX = 180  # The same while it starts: a busy machine takes its time.

logger = logging.getLogger(__name__)


class Word(Enum):
    """What became of a question."""

    AWAITED = "awaited"
    ANSWERED = "answered"
    LOST = "lost"
    """Its process has ended, and Ray starts another one."""


class StandstillError(Exception):
    """An actor answers, but its work stands still. The message says which work, since when."""


class Actors(Protocol):
    """The actors of the service, those that are being started included."""

    def names(self) -> list[str]:
        """Return the names of all actors."""

    def ask(self, name: str) -> object:
        """Ask an actor for a sign of life; return the question."""

    def word(self, question: object) -> Word:
        """Say what has become of a question. Raises StandstillError."""

    def restart(self, name: str) -> None:
        """Have an actor's process ended, and another one started."""


@dataclass(slots=True)
class Watched:
    """What is known of one actor."""

    question: object
    looks: int = 0
    """How often the answer was not there yet. Looks are counted, not seconds: where all processes
    were stopped together, the supervisor was stopped, too, and nobody is to blame."""
    has_started: bool = False

    @property
    def hangs(self) -> bool:
        """Whether it has been silent for too long."""
        return self.looks >= (SILENT_LOOKS_MAX if self.has_started else STARTING_LOOKS_MAX)


class Supervisor:
    """Looks at all actors again and again."""

    def __init__(self, actors: Actors) -> None:
        self._actors = actors
        self._watched: dict[str, Watched] = {}

    def run(self, stopping: threading.Event) -> None:
        """Look until told to stop. It outlives every error: without it nobody would look."""
        while not stopping.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                logger.warning("the supervisor could not look, goes on", exc_info=True)

    def look(self) -> None:
        """Ask who has answered, and end who hangs."""
        names = self._actors.names()
        self._watched = {name: self._watched[name] for name in names if name in self._watched}
        for name in names:
            watched = self._watched.get(name)
            if watched is None:
                self._watched[name] = Watched(self._actors.ask(name))
            else:
                self._look_at(name, watched)

    def _look_at(self, name: str, watched: Watched) -> None:
        try:
            word = self._actors.word(watched.question)
        except StandstillError as error:
            self._restart(name, f"stands still ({error})")
            return
        if word is not Word.AWAITED:
            has_started = word is Word.ANSWERED
            self._watched[name] = Watched(self._actors.ask(name), has_started=has_started)
            return
        watched.looks += 1
        if watched.hangs:
            self._restart(name, "hangs")

    def _restart(self, name: str, what: str) -> None:
        logger.warning("%s %s and is started again", name, what)
        del self._watched[name]
        self._actors.restart(name)

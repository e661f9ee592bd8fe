"""Keeps the price list in force up to its file.

The process that brings the service up reads the file and keeps the newest valid text in MongoDB;
shards follow that. So all of them have one list, also on other machines, and also one that is
started again while the file is being mended.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError
from domain.pricing import NO_PRICES, PriceList, read_prices

LOOK_SECONDS = 2.0  # How often the file is looked at, and the list that is kept by each shard.
FILE_BYTES_MAX = 256 * 1024

logger = logging.getLogger(__name__)


class PriceStore(Protocol):
    """Keeps the text of the list in force. Every call blocks; may raise StorageUnavailableError."""

    def keep(self, text: str) -> None:
        """Keep a text in the place of the one before; an empty one: there is no list."""

    def read(self) -> str:
        """Return the text that is kept; empty: there is no list."""


class PriceFile:
    """The file of the price list, and the newest valid text of it."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises ValueError with what is wrong with it, for an operator."""
        self._path = path
        self.valid = self._seen = self._read()
        read_prices(self.valid)
        self.is_invalid = False

    def look(self, store: PriceStore) -> None:
        """Take up a changed file. One that is not valid leaves the list in force as it is."""
        try:
            text = self._read()
            is_whole = text == self._seen  # One that is being written differs from look to look.
            self._seen = text
            if is_whole and text != self.valid:
                read_prices(text)
                store.keep(text)
                self.valid = text
                logger.warning("the price list of %s is in force", self._path)
            self.is_invalid = self.is_invalid and text != self.valid
        except ValueError as error:
            if not self.is_invalid:
                logger.warning("the price list before stays in force: %s: %s", self._path, error)
            self.is_invalid = True
        except StorageUnavailableError:
            logger.warning("the database is away: the price list before stays in force")
        except UnsuitableDatabaseError as error:
            logger.error("the price list before stays in force: %s", error)  # noqa: TRY400 - it says all

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
            if len(content) > FILE_BYTES_MAX:
                raise ValueError(f"it has more than {FILE_BYTES_MAX} bytes")
            return content.decode()
        except OSError as error:
            raise ValueError(f"it cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError("it is not UTF-8") from error


@contextlib.contextmanager
def in_force(
    file: PriceFile | None, store: PriceStore, publish: Callable[[PriceFile], None]
) -> Iterator[None]:
    """Keep the list of the file in force as long as the block; without a file there is none."""
    store.keep(file.valid if file else "")
    if file is None:
        yield
        return
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(LOOK_SECONDS):
            file.look(store)
            publish(file)

    thread = threading.Thread(target=watch, name="prices", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def decide_by(text: str, take: Callable[[PriceList], None]) -> None:
    """Let `take` have the list in a kept text; what is no list is not given to it."""
    try:
        prices = read_prices(text) if text else NO_PRICES
    except ValueError as error:  # Another program wrote there: what we keep is valid.
        logger.warning("the price list that is kept cannot be read: %s", error)
    else:
        take(prices)


async def follow_prices(store: PriceStore, known: str, take: Callable[[PriceList], None]) -> None:
    """Let `take` have every list that comes after the known one, for ever."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(StorageUnavailableError):
            text = await asyncio.to_thread(store.read)
            if text != known:
                decide_by(text, take)
            known = text

"""What administrators set while the service runs, beside what its environment says: one document."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from actors.protocol.store import StorageUnavailableError
from domain.low_credits import is_percent

LOOK_SECONDS = 2.0  # How often each HTTP process and each shard looks what is kept.
ORIGINS_MAX = 100
ORIGIN_LENGTH_MAX = 300
PERCENTS_MAX = 8  # Thresholds of low credits: each may send an event a user and day.

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What is set at run time."""

    cors_origins: tuple[str, ...] = ()
    """Origins of browsers' pages that may call, beside those of the environment."""
    low_credits_percents: tuple[int, ...] = ()
    """Thresholds of low credits, the highest first, in place of the environment's; empty: that one."""


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What is to be set. None: it stays as it is."""

    cors_origins: tuple[str, ...] | None = None
    low_credits_percents: tuple[int, ...] | None = None


class ServiceSettingsStore(Protocol):
    """Keeps them. Every call blocks; may raise StorageUnavailableError."""

    def read(self) -> ServiceSettings:
        """Return what is kept."""

    def keep(self, change: SettingsChange) -> ServiceSettings:
        """Keep what a change names in place of that before, and return all that is kept then."""


def is_origin(text: str) -> bool:
    """Say whether a text is an origin as browsers send it: `https://app.example`."""
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
    except ValueError:
        return False
    is_whole = parts.scheme in {"http", "https"} and parts.hostname and has_port
    return bool(is_whole) and text == f"{parts.scheme}://{parts.netloc}".lower()


def origins_of(said: Iterable[object]) -> tuple[str, ...]:
    """Return the origins among what is kept: another program may have written there."""
    texts = [text for text in said if isinstance(text, str) and is_origin(text)]
    return tuple(dict.fromkeys(texts))[:ORIGINS_MAX]


def percents_of(said: Iterable[object]) -> tuple[int, ...]:
    """Return the thresholds among what is said or kept, the highest first, each once."""
    percents = {int(percent) for percent in said if is_percent(percent)}
    return tuple(sorted(percents, reverse=True))[:PERCENTS_MAX]


async def follow_settings(
    store: ServiceSettingsStore, take: Callable[[ServiceSettings], None]
) -> None:
    """Let `take` have what is kept, again and again, for ever. While it cannot be read, the last stays."""
    while True:
        try:
            take(await asyncio.to_thread(store.read))
        except StorageUnavailableError:
            pass
        except Exception:  # It goes on: an origin that is taken away must not stay.
            logger.exception("the settings of the run time cannot be read")
        await asyncio.sleep(LOOK_SECONDS)

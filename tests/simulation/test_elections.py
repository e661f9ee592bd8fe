"""A primary that was just elected shows what it knew of, to those who had asked before."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence

from actors.protocol.directory import Directory, even
from domain.messages import Entry
from domain.values import UserId
from tests.simulation.database import SimulatedStore
from tests.simulation.virtual_time import VirtualLoop

OLD, NEW = even(1, 1), even(2, 2)


class Silent:
    """Watches nothing."""

    def landed(self, entries: Sequence[Entry], *, late: bool) -> None:
        pass

    def is_stray(self) -> bool:
        return False

    def confirmed(self, entries: Sequence[Entry], *, stray: bool) -> None:
        pass

    def viewed(self, user_ids: Sequence[UserId]) -> None:
        pass


def in_virtual_time(story: Callable[[SimulatedStore], Coroutine[None, None, None]]) -> None:
    dice = random.Random(1)
    loop = VirtualLoop(dice)
    store = SimulatedStore(loop, dice, Silent())
    try:
        loop.run_until_complete(story(store))
    finally:
        loop.close()


async def publish_new(store: SimulatedStore) -> None:
    """Publish a table that the next primary will not know of at first."""
    store.table = OLD
    store.elections.remember(store.copied())
    await asyncio.sleep(0.1)
    store.table = NEW


def reading(store: SimulatedStore) -> "asyncio.Task[Directory | None]":
    return asyncio.create_task(asyncio.to_thread(store.table_at_start))


def test_what_was_asked_before_a_primary_was_elected_is_answered_as_it_is() -> None:
    async def story(store: SimulatedStore) -> None:
        await publish_new(store)
        store.elections.hold(entries=1)

        assert await reading(store) == OLD
        assert await reading(store) == NEW  # Who asks it has noticed the election, and waits.

    in_virtual_time(story)


def test_nobody_is_shown_less_than_it_has_written() -> None:
    async def story(store: SimulatedStore) -> None:
        await publish_new(store)
        store.elections.know()
        store.elections.hold(entries=1)

        assert await reading(store) == NEW

    in_virtual_time(story)


def test_what_is_learned_while_a_read_waits_changes_nothing_of_it() -> None:
    async def story(store: SimulatedStore) -> None:
        await publish_new(store)
        store.elections.hold(entries=1)
        read = reading(store)
        await asyncio.sleep(0.001)
        store.elections.know()

        assert await read == OLD

    in_virtual_time(story)

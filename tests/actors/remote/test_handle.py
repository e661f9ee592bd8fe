"""The way to one actor: what its caller is told where it does not answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from actors.protocol.errors import ShardLostError
from actors.remote.handle import Handle


class Counter:
    """What the actor's process would run."""

    async def add(self, one: int, *, other: int = 0) -> int:
        """Return the sum."""
        return one + other


class Remote:
    """A handle of Ray's, or the failure that a call over it ends with."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.add = self

    async def remote(self, one: int, *, other: int = 0) -> int:
        if self.failure is not None:
            raise self.failure
        return await Counter().add(one, other=other)


Found = list[Remote]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Found:
    """Return the handles that Ray finds one after another; then nothing has the name."""
    handles: Found = []

    def get_actor(name: str, **_: object) -> Remote:
        if not handles:
            raise ValueError(f"no actor has the name {name}")
        return handles.pop(0)

    monkeypatch.setattr(ray, "get_actor", get_actor)
    return handles


def handle(**options: Any) -> Handle[Counter]:
    return Handle[Counter]("counter", ShardLostError, **options)


def ask(way: Handle[Counter]) -> int:
    return asyncio.run(way.ask(Counter.add, 1, other=2))


def failed(cause: Exception) -> RayTaskError:
    return RayTaskError("add", "a traceback", cause)  # type: ignore[no-untyped-call]


FAILURES: dict[str, Callable[[], Exception]] = {
    "its process has ended": ActorDiedError,
    "its process is away": lambda: ActorUnavailableError("away", None),
    "the method failed": lambda: failed(KeyError("one")),
}


def test_an_answer_comes_back(found: Found) -> None:
    found.append(Remote())

    assert ask(handle()) == 3


def test_where_nothing_has_the_name_the_actor_is_lost(found: Found) -> None:
    assert not found

    with pytest.raises(ShardLostError):
        ask(handle())


@pytest.mark.parametrize("failure", FAILURES)
def test_where_it_does_not_answer_the_actor_is_lost(found: Found, failure: str) -> None:
    found.append(Remote(FAILURES[failure]()))

    with pytest.raises(ShardLostError):
        ask(handle(refusal=ValueError))


def test_what_the_actor_refuses_reaches_its_caller(found: Found) -> None:
    found.append(Remote(failed(ValueError("no such cursor"))))

    with pytest.raises(ValueError, match="no such cursor"):
        ask(handle(refusal=ValueError))


def test_what_is_no_refusal_does_not_reach_the_caller(found: Found) -> None:
    found.append(Remote(failed(ValueError("a defect"))))

    with pytest.raises(ShardLostError):
        ask(handle())


def test_a_kept_actor_is_looked_for_again_only_after_its_process_was_lost(found: Found) -> None:
    first, second = Remote(), Remote()
    found.extend([first, second])
    way = handle(is_kept=True)

    answers = [ask(way), ask(way)]
    left = list(found)
    first.failure = ActorDiedError()
    with pytest.raises(ShardLostError):
        ask(way)

    assert answers == [3, 3]
    assert left == [second]
    assert ask(way) == 3
    assert not found

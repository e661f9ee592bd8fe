"""The way from any process to one actor of ours: its methods by type, Ray's failures as ours."""

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.remote.options import NAMESPACE

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


class Handle(Generic[A]):
    """One actor, by its name. It is asked by a method of its class, which says what comes back."""

    def __init__(
        self,
        name: str,
        lost: Callable[[], Exception],
        namespace: str = NAMESPACE,
        *,
        refusal: type[Exception] | None = None,
        is_kept: bool = False,
    ) -> None:
        """`lost` makes what is raised where the actor does not answer.

        `refusal`: what the actor says to its caller, raised as it is. `is_kept`: Ray is asked for
        the actor once, and again after its process was lost; else at every call.
        """
        self._name = name
        self._lost = lost
        self._namespace = namespace
        self._refusal = refusal
        self._is_kept = is_kept
        self._found: ActorHandle[A] | None = None

    async def ask(
        self,
        method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> R:
        """Return what the actor's method returns. Raises what `lost` makes, and refusals."""
        with self._failures():
            answer: R = await self._bound(method.__name__).remote(*arguments, **named)
        return answer

    def wait_for(
        self,
        seconds_max: float,
        method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> R:
        """Return what the actor's method returns, as `ask` does, but block."""
        with self._failures():
            asked = self._bound(method.__name__).remote(*arguments, **named)
            answer: R = ray.get(asked, timeout=seconds_max)
        return answer

    def _bound(self, method: str) -> Any:
        found = self._found
        if found is None:
            try:
                found = ray.get_actor(self._name, namespace=self._namespace)
            except ValueError as error:  # No actor has this name now.
                raise self._lost() from error
            self._found = found if self._is_kept else None
        return getattr(found, method)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except RayTaskError as error:
            if self._refusal is not None and isinstance(error.cause, self._refusal):
                raise error.cause from None
            raise self._lost() from error
        except RayError as error:
            if isinstance(error, RayActorError):
                self._found = None  # A new incarnation may need a new handle.
            raise self._lost() from error

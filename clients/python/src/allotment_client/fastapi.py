"""Credits in front of FastAPI's handlers: a dependency that holds, and settles when all is sent.

credits = Credits(AsyncAllotment.connect(), user=current_user)
credits.install(app)

@app.post("/chat")
async def chat(hold: Annotated[RequestHold, Depends(hold_credits(20))]) -> Answer:
    ...
    hold.report(12)
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from allotment_client.accounts import HOLD_SECONDS_DEFAULT
from allotment_client.async_client import AsyncAllotment
from allotment_client.errors import AllotmentError, HoldClosedError, RefusedError, TryAgainError
from allotment_client.holding import Holding
from allotment_client.problems import limit_headers

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
BROKEN = {
    "type": "about:blank",
    "title": "Credits cannot be checked",
    "status": 500,
    "detail": "Credits cannot be checked",
    "code": "internal_error",
}
AWAY = BROKEN | {
    "title": "Credits cannot be checked now; try again later",
    "status": 503,
    "detail": "Credits cannot be checked now; try again later",
    "code": "overloaded",
}

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RequestHold(Holding):
    """The hold of one request: the handler tells it what the work cost, with `report`."""

    service_type: str = ""
    is_released: bool = False
    """The client went away before anything was reported."""

    @property
    def credit_amount(self) -> int:
        """How many credits are set aside."""
        return self.hold.credit_amount

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an answer, for handlers that make their own response."""
        return {"RateLimit": f'"credits";r={max(0, self.hold.remaining_credits)}'}


class Credits:
    """Makes dependencies that hold credits of a request's user.

    `user` is a dependency of FastAPI's: it takes what it needs of a request, and returns the id.
    """

    def __init__(
        self, allotment: AsyncAllotment, user: Callable[..., Any], service_type: str = "request"
    ) -> None:
        self.allotment = allotment
        self.user = user
        self.service_type = service_type

    def install(self, app: FastAPI) -> None:
        """Let the application answer refusals with problem bodies (RFC 9457)."""
        app.add_exception_handler(AllotmentError, on_error)

    def __call__(
        self,
        credit_amount: int,
        service_type: str | None = None,
        *,
        at_least: int | None = None,
        expires_in: int = HOLD_SECONDS_DEFAULT,
    ) -> Callable[..., AsyncIterator[RequestHold]]:
        """Return a dependency that holds so many credits until the response is sent.

        Then what was reported is settled. Where the handler fails or reports nothing, the hold is
        released. Where the client goes away before anything was reported, it is released at once;
        what the handler reports afterwards is charged as far as it is there. A stream that is left
        is settled at what was reported. The body is read whole before the handler begins.
        """
        service = service_type or self.service_type

        async def held(
            request: Request, response: Response, user_id: Annotated[str, Depends(self.user)]
        ) -> AsyncIterator[RequestHold]:
            with contextlib.suppress(RuntimeError):  # A form has been read already.
                await request.body()
            hold = await self.allotment.hold(
                user_id, service, credit_amount, at_least=at_least, expires_in=expires_in
            )
            holding = RequestHold(hold, service_type=service)
            response.headers.update(holding.headers)
            watching = asyncio.create_task(self._watch(request, holding))
            try:
                yield holding
            except ClientDisconnect:  # Of some servers: what was streamed is settled.
                raise
            except Exception:
                holding.cost = None
                raise
            finally:
                watching.cancel()
                await self.allotment.finished(self._end(holding))

        return held

    async def _watch(self, request: Request, holding: RequestHold) -> None:
        """Release the hold where the client goes away while nothing is reported."""
        while (await request.receive())["type"] != "http.disconnect":  # Nothing else is left.
            pass
        if holding.cost is None:
            holding.is_released = True
            with contextlib.suppress(AllotmentError):  # Else it expires by itself.
                await self.allotment.finished(self._release(holding))

    async def _end(self, holding: RequestHold) -> None:
        """Settle what was reported, or release. What fails is logged: the response has been sent."""
        try:
            if holding.cost is None:
                await self._release(holding)
            elif holding.is_released:
                holding.usage = await self._charge(holding)
            else:
                holding.usage = await self.allotment.settle(holding.hold.hold_id, **holding.cost)
        except AllotmentError:
            logger.exception("hold %s was not settled: %s", holding.hold.hold_id, holding.cost)

    async def _charge(self, holding: RequestHold) -> Any:
        """Charge what was done for a client that had gone before."""
        hold, cost = holding.hold, holding.cost
        assert cost is not None, "it was reported"
        key = f"after {hold.hold_id}"
        return await self.allotment.record_usage(
            hold.user_id, holding.service_type, **cost, key=key
        )

    async def _release(self, holding: RequestHold) -> None:
        with contextlib.suppress(HoldClosedError):
            await self.allotment.release(holding.hold.hold_id)


async def on_error(_: Request, error: Exception) -> Response:
    """Answer a request that an error of the client's ends.

    Refusals for want of credits are told as they are; that the service is away is 503. All else
    (a wrong key, a wrong argument) is the application's own failure: it is logged, and 500.
    """
    assert isinstance(error, AllotmentError)
    if isinstance(error, RefusedError) and error.status == 402:
        return _problem(dict(error.problem or {}), limit_headers(error, datetime.now(UTC)))
    if isinstance(error, TryAgainError):
        seconds = ceil(error.retry_after or RETRY_SECONDS)
        return _problem(AWAY, {"Retry-After": str(seconds)})
    logger.error("credits cannot be checked", exc_info=error)
    return _problem(BROKEN, {})


def _problem(body: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(json.dumps(body), body["status"], headers, MEDIA_TYPE)

"""The operation that makes stream tokens: what a browser's EventSource follows a user's events with."""

from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from actors.auth.caller import Scope
from actors.auth.stream_tokens import STREAM_SECONDS_MAX
from actors.edge.backend import NEEDS_KEY_OR_TOKEN, Backend
from actors.edge.callers import caller_of, require_reading, require_user
from actors.edge.problems import RequestRefused, invalid
from actors.edge.responses import written
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StoreError
from domain.api.requests import UserIdText
from domain.values import UserId


class StreamTokenBody(BaseModel):
    """Whose events are to be followed."""

    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[
        UserIdText | None,
        Field(
            examples=["ada"], description="With a user's own token: that user, also if left out."
        ),
    ] = None


class StreamTokenResponse(BaseModel):
    """A token for one user's event stream, shown once and kept nowhere."""

    token: str = Field(
        examples=["stream_WyJhZGEi…"],
        description="To be sent as `token` in the query of `GET /events`.",
    )
    user_id: str = Field(examples=["ada"])
    expires_at: datetime = Field(
        examples=["2026-03-10T12:01:00Z"], description="Until when a stream can be begun with it."
    )
    stream_seconds: int = Field(
        examples=[900], description="How long the stream then goes on, at most."
    )
    after: str = Field(
        examples=["own_3.0"], description="To be sent as `after`: the stream then begins now."
    )


def add_stream_tokens(app: FastAPI, backend: Backend) -> None:
    """Add the operation."""

    @app.post(
        "/events/token",
        status_code=201,
        responses=written(),
        openapi_extra={"security": NEEDS_KEY_OR_TOKEN},
    )
    async def make_stream_token(
        request: Request, response: Response, body: StreamTokenBody | None = None
    ) -> StreamTokenResponse:
        """Make a token with which a browser's EventSource follows one user's events.

        `new EventSource("/events?token=…&after=…")`: it begins within a minute, lasts 15, and reads that
        user's event stream alone. It ends with the key or token that made it.
        """
        caller = caller_of(request)
        named = body.user_id if body else None
        user_id = caller.user_id if named is None else UserId(named)
        if user_id is None:
            raise RequestRefused(invalid("user_id", "is needed with a key"))
        if caller.scope is None:
            require_reading(request, user_id, of_services=True)
        else:  # A key that only reads follows no events, and has nobody follow them.
            require_user(request, Scope.WRITE, user_id)
        try:
            after = await backend.events.mark(await backend.events.place(None), user_id)
            made = await backend.streams.make(caller, user_id)
        except StoreError:
            raise UnavailableError from None
        response.headers["Cache-Control"] = "no-store"
        return StreamTokenResponse(
            token=made.text,
            user_id=made.user_id,
            expires_at=made.expires_at,
            stream_seconds=STREAM_SECONDS_MAX,
            after=after,
        )

"""Responses of operations: answers that are text already, problems, and their documentation."""

import contextlib
from typing import Any

from fastapi import Response

from actors.edge.backend import Backend
from actors.edge.problem_bodies import InsufficientCredits, InvalidRequest, Problem, documented
from actors.edge.problems import problem_of, respond, waiting
from actors.protocol.calls import Reply, body_of
from actors.protocol.errors import AllotmentError
from actors.protocol.store import StoreError


class Done(Response):
    """A JSON answer that is text already."""

    media_type = "application/json"


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of an operation's problem bodies."""
    models = {402: (InsufficientCredits,), 422: (InvalidRequest, Problem)}
    return {
        status: documented(status, *models.get(status, (Problem,)))
        for status in sorted({401, 403, 413, 422, 429, 503, *statuses})
    }


def written(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of the problem bodies of an operation that takes a body."""
    return problems(408, 415, *statuses)


async def answered(backend: Backend, reply: Reply, status: int) -> Response:
    """Return the response to a write: the first answer, marked where it is given again."""
    headers = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    try:
        return Done(body_of(reply), status, headers=headers)
    except AllotmentError as error:
        problem = problem_of(error)
    if isinstance(problem, InsufficientCredits) and problem.available_at is not None:
        with contextlib.suppress(StoreError):  # What was decided is told, with its time or not.
            headers |= waiting(problem.available_at, await backend.now())
    return respond(problem, headers)

"""Responses of operations: answers that are text already, problems, and their documentation."""

from typing import Any

from fastapi import Response

from actors.asking import body_of
from actors.calls import Reply
from actors.edge.problems import (
    MEDIA_TYPE,
    InsufficientCredits,
    InvalidRequest,
    Problem,
    problem_of,
    respond,
)
from actors.failures import AllotmentError


class Done(Response):
    """A JSON answer that is text already."""

    media_type = "application/json"


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of an operation's problem bodies."""
    models: dict[int, type[Problem]] = {402: InsufficientCredits, 422: InvalidRequest}
    return {
        status: {"model": models.get(status, Problem), "content": {MEDIA_TYPE: {}}}
        for status in (401, 403, *statuses, 422, 503)
    }


def answered(reply: Reply, status: int) -> Response:
    """Return the response to a write: the first answer, marked where it is given again."""
    replayed = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    try:
        return Done(body_of(reply), status, headers=replayed)
    except AllotmentError as error:
        response = respond(problem_of(error))
        response.headers.update(replayed)
        return response

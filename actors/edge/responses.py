"""Responses of operations: answers that are text already, problems, and their documentation."""

from http import HTTPStatus
from typing import Any

from fastapi import Response

from actors.asking import body_of
from actors.calls import Reply
from actors.edge.problems import (
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
    models: dict[int, Any] = {402: InsufficientCredits, 422: InvalidRequest | Problem}
    return {
        status: {"model": models.get(status, Problem), "description": HTTPStatus(status).phrase}
        for status in sorted({401, 403, 413, 422, 429, 503, *statuses})
    }


def written(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of the problem bodies of an operation that takes a body."""
    return problems(408, 415, *statuses)


def answered(reply: Reply, status: int) -> Response:
    """Return the response to a write: the first answer, marked where it is given again."""
    replayed = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    try:
        return Done(body_of(reply), status, headers=replayed)
    except AllotmentError as error:
        response = respond(problem_of(error))
        response.headers.update(replayed)
        return response

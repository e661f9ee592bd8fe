"""How a program asks: calls under keys, checked arguments, and answers or typed errors."""

import secrets
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from actors.protocol.calls import Call, Outcome, Reply
from actors.protocol.errors import InvalidRequestError, OverloadedError, UnavailableError, refused
from domain.api.requests import IdempotencyKey
from domain.messages import Command
from domain.values import UserId, parse_user_id

PYTHON = "python"  # How the journal names a program inside the cluster.

KEY: TypeAdapter[str] = TypeAdapter(IdempotencyKey)

B = TypeVar("B", bound=BaseModel)


def new_key() -> str:
    """Return an idempotency key nobody else has."""
    return f"auto-{secrets.token_hex(16)}"


def make_call(command: Command, key: str | None, by: str = PYTHON) -> Call:
    """Return the call of a command. Without a key of the caller's, a refusal is not kept.

    Raises InvalidRequestError. Keys that came over HTTP are checked there, and may have more parts.
    """
    if key is not None and by == PYTHON:
        key = checked_key(key)
    return Call(command, key or new_key(), keep_refusal=key is not None, by=by)


def checked_key(key: str) -> str:
    """Return an idempotency key that a caller may send. Raises InvalidRequestError."""
    try:
        return KEY.validate_python(key)
    except ValidationError as error:
        raise InvalidRequestError(f"key: {error.errors()[0]['msg']}") from error


def body_of(reply: Reply) -> bytes:
    """Return the JSON text of a reply that is done. Raises AllotmentError otherwise."""
    match reply.outcome:
        case Outcome.DONE:
            assert reply.body is not None, "what is done has an answer"
            return reply.body
        case Outcome.REFUSED:
            assert reply.refusal is not None, "what is refused has a reason"
            raise refused(reply.refusal)
        case Outcome.OVERLOADED:
            raise OverloadedError
        case _:
            raise UnavailableError


def user_id_of(text: str) -> UserId:
    """Return the user id a caller means. Raises InvalidRequestError."""
    try:
        return parse_user_id(text)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from error


def checked(body: type[B], **fields: object) -> B:
    """Return a checked body. Raises InvalidRequestError."""
    try:
        return body.model_validate(fields)
    except ValidationError as error:
        raise invalid(error) from error


def invalid(error: ValidationError) -> InvalidRequestError:
    """Return the error that names what is wrong with arguments."""
    return InvalidRequestError(
        "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    )

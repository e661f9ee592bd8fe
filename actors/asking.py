"""How a program asks: calls under keys, checked arguments, and answers or typed errors."""

import secrets
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from actors.calls import Call, Outcome, Reply
from actors.failures import InvalidRequestError, OverloadedError, UnavailableError, refused
from domain.messages import Command
from domain.values import UserId, parse_user_id

PYTHON = "python"  # How the journal names a program inside the cluster.

B = TypeVar("B", bound=BaseModel)


def new_key() -> str:
    """Return an idempotency key nobody else has."""
    return f"auto-{secrets.token_hex(16)}"


def make_call(command: Command, key: str | None, by: str = PYTHON) -> Call:
    """Return the call of a command. Without a key of the caller's, a refusal is not kept."""
    return Call(command, key or new_key(), keep_refusal=key is not None, by=by)


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

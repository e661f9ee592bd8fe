"""How a program asks: calls under keys, checked arguments, and answers or typed errors."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from actors.protocol.errors import InvalidRequestError
from domain.values import UserId, parse_user_id

B = TypeVar("B", bound=BaseModel)


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

"""Both Python clients on one service in this process: the cluster's, and the one over HTTP."""

import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

import allotment_client
from actors.client import AsyncAllotment
from tests.fakes.edge import LocalBackend, edge

FACES = ["cluster", "http"]
PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
IDS = re.compile(r"^((evt_|anm_|anon-)?[0-9a-f]{24,32}|[0-9a-f-]{36}|key:[0-9a-f]+|python)$")


@contextlib.asynccontextmanager
async def face(name: str) -> AsyncIterator[tuple[Any, LocalBackend]]:
    """Yield one of the clients, with an admin's rights, on a service of its own."""
    async with edge() as (http, backend):
        if name == "http":
            yield allotment_client.AsyncAllotment(http), backend
        else:
            yield AsyncAllotment(backend.router, backend.operations, backend.relay), backend


def plain(answer: Any) -> Any:
    """Return an answer of either client as dictionaries and lists."""
    if isinstance(answer, Exception):
        return told(answer)
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return dataclasses.asdict(answer)
    return attributes(answer)


def attributes(value: Any) -> Any:
    """Return what a program reads of an answer, also of fields that JSON leaves out."""
    match value:
        case BaseModel():
            return {name: attributes(getattr(value, name)) for name in type(value).model_fields}
        case dict():
            return {name: attributes(item) for name, item in value.items()}
        case list():
            return [attributes(item) for item in value]
        case _:
            return value


def told(error: Any) -> dict[str, Any]:
    """Return what a program can know of an error of either client."""
    shortfall = getattr(error, "shortfall", None)
    return {
        "type": type(error).__name__,
        "code": error.code,
        "title": error.title,
        "shortfall": shortfall and dataclasses.asdict(shortfall),
    }


def masked(value: Any) -> Any:
    """Return a value without what chance has made: its ids."""
    match value:
        case dict():
            return {masked(name): masked(item) for name, item in value.items()}
        case list() | tuple():
            return [masked(item) for item in value]
        case str() if IDS.match(value):
            return "an id"
        case _:
            return value

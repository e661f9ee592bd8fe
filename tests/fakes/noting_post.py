"""A way out that notes what is sent, and answers as it is told to."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from actors.events.http_client import UnreachableError


class Sent(NamedTuple):
    """One request."""

    url: str
    body: str
    headers: Mapping[str, str]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class NotingPost:
    """A `Post`. `status` is what it answers; None: nothing."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.status: int | None = 204
        self.closed = 0

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.sent.append(Sent(url, body.decode(), headers))
        if self.status is None:
            raise UnreachableError("ClientConnectorError")
        return self.status

    async def close(self) -> None:
        self.closed += 1

    def events_to(self, url: str) -> list[dict[str, Any]]:
        """Return the events that went to an address, in their order."""
        return [one.event for one in self.sent if one.url == url]

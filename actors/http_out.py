"""HTTP to other people's servers: bounded in time and size, and never led elsewhere."""

import asyncio
import contextlib
from collections.abc import Mapping

import httpx

CONNECT_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 10.0  # How long a server may take between two pieces of its answer.
BODY_SECONDS_MAX = 2.0  # How long its body is waited for: only the status matters.
BODY_BYTES_MAX = 65_536  # What is longer is not read.


class UnreachableError(Exception):
    """The server did not answer. The message names the kind of failure, never the address."""


class HttpOut:
    """Sends to one server over a few connections that are kept open."""

    def __init__(self, connections_max: int) -> None:
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
            limits=httpx.Limits(max_connections=connections_max),
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "Allotment"},
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Return the status of the answer to a body. Raises UnreachableError."""
        try:
            async with self._client.stream("POST", url, content=body, headers=headers) as answer:
                with contextlib.suppress(TimeoutError, httpx.HTTPError):
                    async with asyncio.timeout(BODY_SECONDS_MAX):
                        await _read(answer)
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(type(error).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _read(answer: httpx.Response) -> None:
    """Read a body, so that the connection can be used again; of a long one only the beginning."""
    length = 0
    async for part in answer.aiter_raw():
        length += len(part)
        if length > BODY_BYTES_MAX:
            return

"""HTTP to other people's servers: bounded in time and size, and never led elsewhere."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Collection, Mapping

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from actors.events.destinations import check_destination, is_public

CONNECT_SECONDS_MAX = 5.0
ANSWER_SECONDS_MAX = 10.0  # How long a server may take between two pieces of its answer.
BODY_SECONDS_MAX = 2.0  # How long its body is waited for: only the status matters.
BODY_BYTES_MAX = 65_536  # What is longer is not read.


class UnreachableError(Exception):
    """The server did not answer. The message names the kind of failure, never the address."""


class PublicResolver(AbstractResolver):
    """Finds addresses of names, and none that only this network reaches."""

    def __init__(self, hosts: Collection[str]) -> None:
        """`hosts`: names that may stand for any address."""
        self._hosts = hosts
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name. Raises OSError, also where one of them is not public."""
        found = await self._inner.resolve(host, port, family)
        if host not in self._hosts and not all(is_public(one["host"]) for one in found):
            raise OSError("the name stands for an address that is not public")
        return found

    async def close(self) -> None:
        """Close what is open."""
        await self._inner.close()


class HttpOut:
    """Sends to one server over a few connections that are kept open. To be made in a loop."""

    def __init__(self, connections_max: int, hosts: Collection[str] | None = None) -> None:
        """`hosts`: it sends to these, and beyond them to public addresses alone; None: anywhere."""
        self._hosts = hosts
        trusted = ssl.create_default_context()
        trusted.load_verify_locations(certifi.where())  # Not every machine has a list of its own.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections_max,
                ssl=trusted,
                resolver=None if hosts is None else PublicResolver(hosts),
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS_MAX, sock_read=ANSWER_SECONDS_MAX
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"user-agent": "Allotment"},
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Return the status of the answer to a body. Raises UnreachableError."""
        if self._hosts is not None:
            try:
                check_destination(url, self._hosts)
            except ValueError as error:
                raise UnreachableError(f"its address {error}") from None
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                    async with asyncio.timeout(BODY_SECONDS_MAX):
                        await _read(answer)
                return answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UnreachableError(type(error).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _read(answer: aiohttp.ClientResponse) -> None:
    """Read a body, so that the connection can be used again; of a long one only the beginning."""
    length = 0
    async for part in answer.content.iter_any():
        length += len(part)
        if length > BODY_BYTES_MAX:
            return

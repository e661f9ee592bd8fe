"""Hands connections on from one address to a port of this machine, in a thread of its own."""

import asyncio
import threading
from typing import Self

from tests.service.slow_proxy import SlowProxy


class Forwarding:
    """Forwards as long as the block."""

    def __init__(self, host: str, target_port: int) -> None:
        self.port = 0
        self._proxy = SlowProxy(target_port, host)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.allow(), self._loop).result()
        self.port = self._proxy.port
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.refuse(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

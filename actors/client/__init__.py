"""Allotment from Python: `Allotment` for programs that block, `AsyncAllotment` for asyncio.

The public face: import these two from here. `asynchronous` calls the shards directly and `blocking`
wraps it; `holds` and `corrections` are parts of it; errors are in `actors.protocol.errors`. Begin at
`asynchronous.py`.
"""

from actors.client.asynchronous import AsyncAllotment
from actors.client.blocking import Allotment

__all__ = ["Allotment", "AsyncAllotment"]

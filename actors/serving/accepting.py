"""How a replica's web server takes connections: many in a turn of its loop.

uvloop takes one connection of each listening socket in a turn. Where many requests come at once, HAProxy
opens hundreds of connections to a replica; a busy replica's turn takes ten milliseconds, and who came
last would wait for seconds while others are answered again and again. So the web server listens to
its socket several times.

One connection that comes alone wakes all of these listeners, and all but one find nothing: HAProxy keeps
its connections, so few come alone. `Server.startup` is no public interface of uvicorn's.
"""

import socket

from uvicorn import Server

ACCEPTED_A_TURN = 32  # Of 512 that come at once the last waits for 16 turns.

_startup = Server.startup


async def _listen_often(server: Server, sockets: list[socket.socket] | None = None) -> None:
    """Start a web server that takes up to ACCEPTED_A_TURN connections of each socket in a turn."""
    if sockets is not None:
        sockets = [one.dup() for one in sockets for _ in range(ACCEPTED_A_TURN)]
    await _startup(server, sockets)


def install() -> None:
    """Have the web servers that this process starts on given sockets from now on take them so."""
    Server.startup = _listen_often  # type: ignore[method-assign, assignment]

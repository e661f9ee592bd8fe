"""The console as a program: where it listens, what it says at its start, and when it ends."""

import socket
import sys
import threading
import time

import uvicorn

from actors.console.app import build_app
from actors.console.guard import Place
from actors.console.sessions import Link

PORTS_TRIED = 20
STOP_SECONDS_MAX = 3


class CannotListenError(Exception):
    """No port is free."""


def serve(
    service: str,
    host: str,
    port: int,
    *,
    public_url: str | None,
    key: str | None,
    with_parent: bool,
) -> None:
    """Run the console until a signal; `with_parent`: or until standard input ends.

    `key` is what the printed link signs in with, once. Raises CannotListenError.
    """
    with bound(host, port) as listener:
        port = listener.getsockname()[1]
        link = None if key is None else Link(key, time.monotonic)
        app = build_app(service, Place.of(host, port, public_url), link)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,  # Addresses name users.
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=STOP_SECONDS_MAX,
            )
        )
        if with_parent:
            threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        sys.stdout.write(greeting(public_url or f"http://{shown(host)}:{port}", link) + "\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


def greeting(address: str, link: Link | None) -> str:
    """Return the line that says where the console is. Browsers keep a fragment to themselves."""
    if link is None:
        return f"the console is on {address}: sign in with an admin key"
    return f"the console is on {address}/sign-in#once={link.token} (signs in once, within an hour)"


def shown(host: str) -> str:
    """Return a host as addresses spell it."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the port, or on the next one that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(port, min(port + PORTS_TRIED, 65536)):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
            listener.listen()  # Bound alone, another one could bind it, too.
        except OSError:
            listener.close()
        else:
            return listener
    raise CannotListenError(f"No port from {port} on is free on {host}: name another with --port.")


def _end_with_input(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()  # It ends with whoever holds the other end.
    server.should_exit = True

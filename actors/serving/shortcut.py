"""The way past Serve for the operations of an application's every request.

Serve spends as much on a request as everything else of a charge costs a replica: two tasks, two
ids, its own metrics, a context. Its HTTP server calls middleware before all that, and here the
replica's gate answers what it answers at once; whatever else comes goes on to Serve.

Serve neither counts nor bounds what comes this way. The gate counts it; HAProxy bounds it, and so
does the queue before each shard. A replica that ends still answers it: that is its HTTP server's
own doing.
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.edge import heads
from actors.edge.gate import Gate
from actors.serving import accepting

ENVIRONMENT = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{__name__}.middlewares"}
"""What tells Serve to take this middleware. For our replicas alone: others know no gate."""

_gates: list[tuple[Gate, ASGIApp]] = []


def open_shortcut(gate: Gate, app: ASGIApp) -> None:
    """Have this process answer past Serve what the gate answers at once.

    `app` answers: the gate, or what stands before it.
    """
    _gates[:] = [(gate, app)]


def middlewares() -> list[Middleware]:
    """Return what Serve puts before itself: it finds this function by its name.

    It is about to start its web server, and has no setting for how that takes connections and reads
    requests.
    """
    accepting.install()
    heads.install()
    return [Middleware(Shortcut)]


class Shortcut:
    """ASGI middleware that sends hot operations to the gate, and all else on to Serve."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on. Before the gate is there, all goes to Serve."""
        app = self._app
        if scope["type"] == "http" and _gates:
            gate, before_it = _gates[0]
            app = before_it if gate.answers_at_once(scope) else app
        await app(scope, receive, send)

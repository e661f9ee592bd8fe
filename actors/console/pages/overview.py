"""The overview: how much is decided, what is in RAM, what waits, and whether all parts answer."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from actors.console.charts import line_of
from actors.console.console import Console
from actors.console.figures import look
from actors.console.guard import session_of


async def get_overview(request: Request) -> Response:
    """Show the overview. The page asks for its live part again by itself."""
    console: Console = request.app.state.console
    return console.page(request, "overview.html", **await _content(console, request))


async def get_live(request: Request) -> Response:
    """Return the live part."""
    console: Console = request.app.state.console
    return console.fragment("overview_live.html", **await _content(console, request))


async def _content(console: Console, request: Request) -> dict[str, Any]:
    key = session_of(request).key
    figures = await look(console.service, key, console.rates, console.clock())
    return figures._asdict() | {"course": line_of(console.rates.course("charges"))}

"""The price list in force, and what a charge would cost by it."""

from collections import defaultdict

from starlette.requests import Request
from starlette.responses import Response

from actors.console.changes import WrongFieldError
from actors.console.console import Console
from actors.console.guard import session_of
from actors.console.quotes import quote
from domain.usage_facts import KINDS


async def get_prices(request: Request) -> Response:
    """Show the prices; with a service in the address, what its charge would cost, too."""
    console: Console = request.app.state.console
    listed = await console.service.get(session_of(request).key, "/admin/prices")
    form = {name: value.strip() for name, value in request.query_params.items()}
    quoted, error = None, ""
    if form:
        try:
            quoted = quote(listed["prices"], form, console.now())
        except WrongFieldError as wrong:
            error = str(wrong)
    return console.page(
        request,
        "prices.html",
        422 if error else 200,
        rows=listed["prices"],
        form=defaultdict(str, form),
        quoted=quoted,
        error=error,
        kinds=KINDS,
    )

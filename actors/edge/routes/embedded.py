"""What an application's users see: the element for the application's own pages, and a page with it.

These are files that anybody may have, read once at the start: no request for one reaches a shard or the
database. What they show, they ask for with the user's own token.
"""

import hashlib
import html
import re
from importlib.resources import files

from fastapi import FastAPI, Request, Response

from actors.edge.backend import Portal
from actors.edge.problems import RequestRefused, make_problem

PAGES = files("actors.edge") / "pages"
ELEMENT = "allotment.js"
KINDS = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
NAMES = (ELEMENT, "portal.js", "portal.css", "de.json", "es.json", "fr.json")
CACHED_SECONDS = 3600
ANYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",  # Nothing here is anybody's.
    "Cache-Control": f"public, max-age={CACHED_SECONDS}",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors "
)
TEMPLATE = (PAGES / "portal.html").read_text(encoding="utf-8")
ASIDE = re.compile(r"^\s*(?://.*|/\*\*.*\*/)?\n|^\s+|(?<=[;,]) // .*$", re.MULTILINE)


def add_embedded(app: FastAPI, portal: Portal) -> None:
    """Add the page, the element and their files."""
    contents = {name: content_of(name) for name in NAMES}
    tags = {
        name: f'"{hashlib.sha256(content).hexdigest()[:32]}"' for name, content in contents.items()
    }

    @app.get("/portal", include_in_schema=False)
    async def get_portal() -> Response:
        return Response(page_of(portal), media_type="text/html", headers=page_headers(portal))

    @app.get("/embed/{name:segment}", include_in_schema=False)
    async def get_file(name: str, request: Request) -> Response:
        if name not in contents:
            raise RequestRefused(make_problem("not_found", "There is no such file"))
        told = ANYWHERE | {"ETag": tags[name]}
        if tags[name] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=told)
        return Response(contents[name], media_type=KINDS[name.rpartition(".")[2]], headers=told)


def content_of(name: str) -> bytes:
    """Return a file as it is sent: the element without comments and indentation."""
    text = (PAGES / name).read_text(encoding="utf-8")
    return (ASIDE.sub("", text) if name == ELEMENT else text).encode()


def page_of(portal: Portal) -> bytes:
    """Return the page for users."""
    return TEMPLATE.replace("MORE_URL", html.escape(portal.more_url)).encode()


def page_headers(portal: Portal) -> dict[str, str]:
    """Return what the page may do, and who may frame it."""
    headers = {
        "Content-Security-Policy": POLICY + (" ".join(portal.framed_by) or "'none'"),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
    return headers if portal.framed_by else headers | {"X-Frame-Options": "DENY"}

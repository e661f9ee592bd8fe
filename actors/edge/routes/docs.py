"""The page at `/docs`: Swagger UI from files of this machine, so that it needs no internet."""

from importlib.resources import files

from fastapi import FastAPI, Response

from actors.edge.problems import RequestRefused, make_problem

ASSETS = files("fastapi_offline") / "static"
OURS = files("actors.edge.routes")
FILES = {
    "swagger-ui.css": (ASSETS / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (ASSETS / "swagger-ui-bundle.js", "text/javascript"),
    "start.js": (OURS / "docs.js", "text/javascript"),
}
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
CACHED = {"Cache-Control": "max-age=3600"}


def add_documentation(app: FastAPI) -> None:
    """Add the page and its files."""
    page = (OURS / "docs.html").read_bytes()
    contents = {name: (file.read_bytes(), kind) for name, (file, kind) in FILES.items()}

    @app.get("/docs", include_in_schema=False)
    async def get_page() -> Response:
        return Response(page, media_type="text/html", headers=HEADERS)

    @app.get("/docs/{name:segment}", include_in_schema=False)
    async def get_file(name: str) -> Response:
        if name not in contents:
            raise RequestRefused(make_problem("not_found", "There is no such file"))
        content, kind = contents[name]
        return Response(content, media_type=kind, headers=HEADERS | CACHED)

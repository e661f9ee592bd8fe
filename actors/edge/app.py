"""The whole HTTP interface on a backend."""

from fastapi import FastAPI

from actors.edge.backend import Backend
from actors.edge.operating import operating
from actors.edge.problems import HANDLERS
from actors.edge.reading import reading
from actors.edge.writing import writing


def build_app(backend: Backend) -> FastAPI:
    """Return the whole HTTP interface on a backend."""
    app = FastAPI(
        title="Allotment",
        version="0.1.0",
        summary="Decides whether a user may spend credits, and never loses or doubles one.",
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
    )
    app.include_router(reading(backend))
    app.include_router(writing(backend))
    app.include_router(operating(backend))
    return app

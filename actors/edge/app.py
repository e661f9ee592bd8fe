"""The whole HTTP interface on a backend."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp

from actors.edge.backend import Backend
from actors.edge.holds import add_hold_operations
from actors.edge.hot import HotPath, add_hot_operations
from actors.edge.housekeeping import add_housekeeping_operations
from actors.edge.operating import add_operating_operations
from actors.edge.problems import HANDLERS
from actors.edge.reading import add_reading_operations
from actors.edge.subscriptions import add_subscription_operations
from actors.edge.writing import add_writing_operations
from domain.requests import BatchedUsageBody, RecordUsageBody


def build_app(backend: Backend) -> ASGIApp:
    """Return the whole HTTP interface on a backend."""
    app = Interface(
        title="Allotment",
        version="0.1.0",
        summary="Decides whether a user may spend credits, and never loses or doubles one.",
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
        telemetry={"tracing": False, "metrics": False},  # Looked up at every request otherwise.
    )
    operations = add_hot_operations(app, backend)
    add_reading_operations(app, backend)
    add_writing_operations(app, backend)
    add_hold_operations(app, backend)
    add_operating_operations(app, backend)
    add_subscription_operations(app, backend)
    add_housekeeping_operations(app, backend)
    return HotPath(app, operations)


class Interface(FastAPI):
    """FastAPI, with the bodies in its schema that operations check themselves."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, bodies = models_json_schema(
                [(RecordUsageBody, "validation"), (BatchedUsageBody, "validation")],
                ref_template="#/components/schemas/{model}",
            )
            document["components"]["schemas"] |= bodies["$defs"]
        return super().openapi()

"""The operations on what is set while the service runs."""

import asyncio
from typing import Annotated

from fastapi import FastAPI
from pydantic import AfterValidator, Field

from actors.edge.backend import Backend
from actors.edge.callers import ADMIN
from actors.edge.responses import problems, written
from actors.protocol.errors import UnavailableError
from actors.protocol.reports import Report
from actors.protocol.store import StoreError
from actors.runtime.service_settings import (
    ORIGIN_LENGTH_MAX,
    ORIGINS_MAX,
    ServiceSettings,
    is_origin,
    origins_of,
)
from domain.api.requests import ParsedBody

PAGE = "https://app.example"


def _origin(text: str) -> str:
    if not is_origin(text):
        raise ValueError("is an origin as browsers send it, such as https://app.example")
    return text


class ChangeSettingsBody(ParsedBody):
    """What is to be set."""

    cors_origins: Annotated[
        list[
            Annotated[
                str, Field(strict=True, max_length=ORIGIN_LENGTH_MAX), AfterValidator(_origin)
            ]
        ],
        Field(
            max_length=ORIGINS_MAX,
            description="All that there are to be beside the environment's; empty: none.",
            examples=[[PAGE]],
        ),
    ]


class SettingsReport(Report):
    """What is set at run time, and what the environment says of the same."""

    cors_origins: list[str] = Field(examples=[[PAGE]])
    """Origins of browsers' pages that may call, set at run time."""
    environment_cors_origins: list[str] = Field(examples=[["https://www.app.example"]])
    """Those of `ALLOTMENT_CORS_ORIGINS`, which may call, too."""


def add_settings_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on settings of the run time."""
    store = backend.service_settings

    def shown(settings: ServiceSettings) -> SettingsReport:
        return SettingsReport(
            cors_origins=list(settings.cors_origins),
            environment_cors_origins=list(backend.origins),
        )

    @app.get("/admin/settings", responses=problems(), **ADMIN)
    async def get_settings() -> SettingsReport:
        """Return what is set while the service runs, beside what its environment says."""
        try:
            return shown(await asyncio.to_thread(store.read))
        except StoreError:
            raise UnavailableError from None

    @app.patch("/admin/settings", responses=written(), **ADMIN)
    async def change_settings(body: ChangeSettingsBody) -> SettingsReport:
        """Set origins of browsers' pages that may call, everywhere within five seconds.

        Those of the environment stay.
        """
        settings = ServiceSettings(origins_of(body.cors_origins))
        try:
            await asyncio.to_thread(store.keep, settings)
        except StoreError:
            raise UnavailableError from None
        return shown(settings)

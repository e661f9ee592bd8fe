"""The operations on what is set while the service runs."""

import asyncio
from typing import Annotated, Self

from fastapi import FastAPI
from pydantic import AfterValidator, Field, model_validator

from actors.edge.backend import Backend
from actors.edge.callers import ADMIN
from actors.edge.responses import problems, written
from actors.protocol.errors import UnavailableError
from actors.protocol.reports import Report
from actors.protocol.store import StoreError
from actors.runtime.service_settings import (
    ORIGIN_LENGTH_MAX,
    ORIGINS_MAX,
    PERCENTS_MAX,
    ServiceSettings,
    SettingsChange,
    is_origin,
    origins_of,
    percents_of,
)
from domain.api.requests import ParsedBody
from domain.low_credits import PERCENT_MAX

PAGE, PERCENTS = "https://app.example", [20, 10, 5]


def _origin(text: str) -> str:
    if not is_origin(text):
        raise ValueError("is an origin as browsers send it, such as https://app.example")
    return text


def _each_once(percents: list[int]) -> list[int]:
    if len(set(percents)) < len(percents):
        raise ValueError("names a threshold twice")
    return percents


class ChangeSettingsBody(ParsedBody):
    """What is to be set. What is left out stays."""

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
    ] = Field(default_factory=list)
    low_credits_percents: Annotated[
        Annotated[
            list[Annotated[int, Field(strict=True, ge=1, le=PERCENT_MAX)]],
            Field(max_length=PERCENTS_MAX, json_schema_extra={"uniqueItems": True}),
            AfterValidator(_each_once),
        ]
        | None,
        Field(
            description=(
                "Thresholds of `subscription.low_credits` in percent, in place of the"
                " environment's; empty or null: that one alone."
            ),
            examples=[PERCENTS],
        ),
    ] = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give cors_origins or low_credits_percents")
        return self

    @property
    def change(self) -> SettingsChange:
        """What is to be kept; a setting that is null is that of the environment."""
        named = self.model_fields_set
        return SettingsChange(
            origins_of(self.cors_origins) if "cors_origins" in named else None,
            percents_of(self.low_credits_percents or ())
            if "low_credits_percents" in named
            else None,
        )


class SettingsReport(Report):
    """What is set at run time, and what the environment says of the same."""

    cors_origins: list[str] = Field(examples=[[PAGE]])
    """Origins of browsers' pages that may call, set at run time."""
    environment_cors_origins: list[str] = Field(examples=[["https://www.app.example"]])
    """Those of `ALLOTMENT_CORS_ORIGINS`, which may call, too."""
    low_credits_percents: list[int] | None = Field(examples=[PERCENTS])
    """Thresholds of low credits, the highest first, set at run time; null: none are."""
    environment_low_credits_percent: int = Field(examples=[20])
    """That of `ALLOTMENT_LOW_CREDITS_PERCENT`, which counts where none are set."""


def add_settings_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on settings of the run time."""
    store = backend.service_settings

    def shown(settings: ServiceSettings) -> SettingsReport:
        return SettingsReport(
            cors_origins=list(settings.cors_origins),
            environment_cors_origins=list(backend.origins),
            low_credits_percents=list(settings.low_credits_percents) or None,
            environment_low_credits_percent=backend.low_credits_percent,
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
        """Set what is named, everywhere within five seconds. What is left out stays.

        Origins of browsers' pages that may call are beside the environment's; thresholds of low
        credits are in place of the environment's.
        """
        try:
            return shown(await asyncio.to_thread(store.keep, body.change))
        except StoreError:
            raise UnavailableError from None

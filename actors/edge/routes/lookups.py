"""The operations that operators read with: what was refused, and the price list in force."""

import asyncio
from typing import Annotated

from fastapi import FastAPI, Query

from actors.edge.backend import Backend
from actors.edge.callers import ADMIN
from actors.edge.problems import RequestRefused, invalid, make_problem
from actors.edge.responses import problems
from actors.protocol.errors import UnavailableError
from actors.protocol.queries import RefusalPageQuery
from actors.protocol.store import StoreError
from domain.api.price_answers import PriceListRecord, price_list_record
from domain.api.refusal_answers import RefusalPage
from domain.pricing import NO_PRICES, read_prices

PAGE_MAX = 1000
CURSOR_LENGTH_MAX = 300


def add_lookups(app: FastAPI, backend: Backend) -> None:
    """Add the operations."""

    @app.get("/admin/refusals", responses=problems(), **ADMIN)
    async def list_refusals(
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        cursor: Annotated[str | None, Query(max_length=CURSOR_LENGTH_MAX)] = None,
    ) -> RefusalPage:
        """Return requests that were refused, newest first, as far back as the journal is kept.

        Those are there that had an `Idempotency-Key`: the refusal is its answer. Others are only counted.
        """
        try:
            now = await backend.now()
            query = RefusalPageQuery(limit, cursor)
            return await asyncio.to_thread(backend.overview.refusal_page, query, now)
        except StoreError:
            raise UnavailableError from None
        except ValueError as error:
            raise RequestRefused(invalid("cursor", str(error))) from error

    @app.get("/admin/prices", responses=problems(), **ADMIN)
    async def get_prices() -> PriceListRecord:
        """Return the price list in force: none, where `ALLOTMENT_PRICES` names no file."""
        try:
            text = await asyncio.to_thread(backend.prices.read)
            return price_list_record(read_prices(text) if text else NO_PRICES)
        except StoreError:
            raise UnavailableError from None
        except ValueError:  # Another program wrote there: shards keep to the list before.
            title = "The price list that is kept cannot be read"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None

"""The operation that reads which administrative acts were asked for, when, and with which key."""

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import FastAPI, Query

from actors.auth.audit import ActPage, ActRecord
from actors.edge.backend import Backend
from actors.edge.callers import ADMIN
from actors.edge.responses import problems
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StoreError

PAGE_MAX = 1000
BY_LENGTH_MAX = 256


def add_audit_operation(app: FastAPI, backend: Backend) -> None:
    """Add the operation on the audit."""

    @app.get("/admin/audit", **ADMIN, responses=problems())
    async def get_audit(
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        cursor: Annotated[str | None, Query(pattern=r"^[0-9a-f]{24}$")] = None,
        by: Annotated[
            str | None,
            Query(max_length=BY_LENGTH_MAX, description="Acts of one caller: `key:5f0c91ab`."),
        ] = None,
    ) -> ActPage:
        """Return administrative acts, newest first: with which key each was asked for, and when.

        They are kept for `ALLOTMENT_AUDIT_DAYS`, whatever becomes of the journal.
        """
        try:
            acts = await asyncio.to_thread(backend.audit.page, limit + 1, cursor, by)
        except StoreError:
            raise UnavailableError from None
        items = [ActRecord.model_validate(asdict(act)) for act in acts[:limit]]
        return ActPage(items=items, next_cursor=items[-1].act_id if len(acts) > limit else None)

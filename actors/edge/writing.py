"""The operations that write: credits, batches of usage. One charge is among the hot ones."""

import json
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, Request, Response
from pydantic import ValidationError

from actors.auth.caller import Scope
from actors.client.arguments import body_of, make_call
from actors.edge.backend import Backend, allow, caller_of
from actors.edge.problems import (
    InsufficientCredits,
    InvalidRequest,
    Problem,
    invalid_fields,
    problem_of,
)
from actors.edge.responses import Done, answered, written
from actors.protocol.errors import AllotmentError
from actors.routing.router import Router
from domain.api.answers import Answer, CreditAdditionResponse, UsageRecordResponse
from domain.api.credit_requests import AddCreditBody
from domain.api.requests import BatchedUsageBody, IdempotencyKey, RecordUsagesBody

RECORD_ERRORS_MAX = 5  # Field errors named of one record of a batch.
KEY_PARTS_SEPARATOR = "\x1f"  # No caller's key can hold it: they are printable.

KeyHeader = Annotated[
    IdempotencyKey | None,
    Header(alias="Idempotency-Key", description="A repeat gets the first answer again."),
]


class BatchedRecord(Answer):
    """A record of a batch that was charged."""

    status: Literal[201]
    record: UsageRecordResponse


class BatchedProblem(Answer):
    """A record of a batch that was not charged."""

    status: int
    problem: InsufficientCredits | InvalidRequest | Problem


class BatchResponse(Answer):
    """What became of each record, in order."""

    results: list[BatchedRecord | BatchedProblem]


def add_writing_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations that need the scope write."""
    router = backend.router
    common: dict[str, Any] = {
        "dependencies": [Depends(allow(Scope.WRITE))],
        "responses": written(),
    }

    @app.post(
        "/subscription/credits",
        status_code=201,
        response_model=CreditAdditionResponse,
        **common,
    )
    async def add_credit(
        request: Request, body: AddCreditBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Add credits over days, or as a pack that any day may spend.

        Credits over days join the current subscription, or begin a new one.
        """
        call = make_call(body.command(), idempotency_key, caller_of(request).name)
        return await answered(backend, await router.call(call), 201)

    @app.post("/subscription/usage/batch", response_model=BatchResponse, **common)
    async def record_usages(
        request: Request, body: RecordUsagesBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Charge many records, each on its own."""
        return await record_batch(router, body.records, idempotency_key, caller_of(request).name)


async def record_batch(router: Router, records: list[Any], key: str | None, by: str) -> Response:
    """Return the results of a batch in order: a status, and a record or a problem each.

    A key of the whole batch stands for every record that has none of its own.
    """
    results: list[dict[str, Any] | None] = [None] * len(records)
    calls, places = [], []
    for place, record in enumerate(records):
        try:
            item = BatchedUsageBody.model_validate(record)
        except ValidationError as error:
            results[place] = failed(invalid_fields(error, errors_max=RECORD_ERRORS_MAX))
            continue
        own_key = item.idempotency_key or (key and f"{key}{KEY_PARTS_SEPARATOR}{place}")
        calls.append(make_call(item.command(), own_key, by))
        places.append(place)
    for place, reply in zip(places, await router.calls(calls), strict=True):
        try:
            results[place] = {"status": 201, "record": json.loads(body_of(reply))}
        except AllotmentError as error:
            results[place] = failed(problem_of(error))
    return Done(json.dumps({"results": results}, ensure_ascii=False))


def failed(problem: Problem) -> dict[str, Any]:
    """Return the result of a record that was not charged."""
    return {"status": problem.status, "problem": problem.model_dump(mode="json")}

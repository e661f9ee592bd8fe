"""The service most people would write first: FastAPI and pymongo, one process, no shards.

It does the same two jobs on the same database server, in a database of its own, with the same
client options, the same key check, the same parsing and the same answers: a status is two
finds, a usage is one transaction. It keeps no idempotency keys and rolls nothing over, which
only makes it faster. Its handlers are `def` functions in the threadpool: measured beside
coroutines over pymongo's asynchronous client, a status took as much of the processor and a
usage a quarter less.
"""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from bson import Int64, ObjectId
from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from actors.auth.api_keys import KeyRing
from actors.auth.caller import Scope
from actors.mongo.connection import connect
from actors.mongo.keys import MongoKeys
from domain.api.answers import CreditStatusResponse, DaySource, UsageRecordResponse
from domain.api.requests import RecordUsageBody, UserIdText
from domain.local_days import ONE_DAY, midnight
from domain.values import Status

CONFLICTS_MAX = 20  # How often a transaction that met another one is tried.
LOW_PERCENT = 20

Document = dict[str, Any]
UserIdQuery = Annotated[UserIdText, Query()]
BEARER = HTTPBearer(auto_error=False)

URI, NAME = os.environ["BENCH_MONGO_URI"], os.environ["BENCH_MONGO_DATABASE"]
DATA = connect(URI, NAME)  # With the options of the service's own clients.
KEYS = KeyRing(MongoKeys(DATA))


class Done(Response):
    """A JSON answer that is text already."""

    media_type = "application/json"


def allow(scope: Scope) -> Callable[..., Awaitable[None]]:
    """Return the check that a request carries a key of at least this scope."""

    async def check(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        found = await KEYS.caller_of(credentials.credentials) if credentials else None
        if found is None:
            raise HTTPException(401)
        if not found.has(scope):
            raise HTTPException(403)

    return check


app = FastAPI(title="Plain FastAPI and pymongo")


@app.get(
    "/status",
    response_model=CreditStatusResponse,
    dependencies=[Depends(allow(Scope.READ))],
)
def get_status(user_id: UserIdQuery) -> Response:
    """Return what a user has today: two finds."""
    now = datetime.now(UTC)
    user = ObjectId(user_id)
    subscription = DATA.subscriptions.find_one({"user_id": user})
    day = DATA.dailycredits.find_one({"user_id": user, "date": today(now)})
    if subscription is None or day is None:
        raise HTTPException(404)
    return Done(status_answer(user_id, subscription, day, now).model_dump_json())


@app.post(
    "/usage",
    status_code=201,
    response_model=UsageRecordResponse,
    dependencies=[Depends(allow(Scope.WRITE))],
)
def record_usage(body: RecordUsageBody) -> Response:
    """Charge credits to today: one transaction, tried again where it met another one."""
    for attempt in range(1, CONFLICTS_MAX + 1):
        try:
            with DATA.client.start_session() as session, session.start_transaction():
                answer = charge(body, datetime.now(UTC), session)
        except PyMongoError as error:
            conflict = error.has_error_label("TransientTransactionError")
            if not conflict or attempt == CONFLICTS_MAX:
                raise
        else:
            return Done(answer.model_dump_json(), 201)
    raise AssertionError("the last attempt returns or raises")


def charge(body: RecordUsageBody, now: datetime, session: ClientSession) -> UsageRecordResponse:
    """Read the day, check its limit, add to its use and write the usage record."""
    where = {"user_id": ObjectId(body.user_id), "date": today(now)}
    day = DATA.dailycredits.find_one(where, session=session)
    amount = amount_of(body)
    if day is None or left_of(day) < amount:
        raise HTTPException(402)
    DATA.dailycredits.update_one(
        {"_id": day["_id"]}, {"$inc": {"credits_used": amount}}, session=session
    )
    usage = usage_document(body, day, now)
    DATA.usages.insert_one(usage, session=session)
    return usage_answer(usage, day)


def amount_of(body: RecordUsageBody) -> Int64:
    """Return the credits of a charge. It has no price list: they are to be named."""
    if body.credit_amount is None:
        raise HTTPException(422)
    return Int64(body.credit_amount)


def today(now: datetime) -> datetime:
    """Return the midnight that began the day."""
    return midnight(now.date(), "UTC")


def left_of(day: Document) -> int:
    """Return what is left to spend on a day."""
    left: int = day["daily_credit_limit"] + day["credits_rolled_over"] - day["credits_used"]
    return left


def is_low(remaining: int, day: Document) -> bool:
    """Say whether so little is left of a day's credits that it is called low."""
    given = day["daily_credit_limit"] + day["credits_rolled_over"]
    return bool(remaining * 100 <= LOW_PERCENT * given)


def status_answer(
    user_id: str, subscription: Document, day: Document, now: datetime
) -> CreditStatusResponse:
    """Return the answer to a status."""
    remaining = left_of(day)
    return CreditStatusResponse(
        user_id=user_id,
        subscription_id=str(subscription["_id"]),
        status=Status(subscription["status"]),
        timezone=subscription["timezone"],
        start_date=subscription["start_date"],
        end_date=subscription["end_date"],
        days_remaining=(subscription["end_date"].date() - now.date()).days,
        total_credits=subscription["total_credits"],
        system_portion=subscription["system_portion"],
        spendable_credits=subscription["spendable_credits"],
        date=day["date"],
        daily_credit_limit=day["daily_credit_limit"],
        credits_rolled_over=day["credits_rolled_over"],
        credits_used=day["credits_used"],
        credits_held=0,
        day_remaining_credits=remaining,
        pack_credits=0,
        remaining_credits=remaining,
        low_credits=is_low(remaining, day),
        resets_at=day["date"] + ONE_DAY,
        as_of=now,
    )


def usage_document(body: RecordUsageBody, day: Document, now: datetime) -> Document:
    """Return a charge as the usages collection holds it."""
    return {
        "_id": ObjectId(),
        "user_id": day["user_id"],
        "subscription_id": day["subscription_id"],
        "service_type": body.service_type,
        "credit_amount": amount_of(body),
        "token_count": None if body.token_count is None else Int64(body.token_count),
        "model_used": body.model_used,
        "timestamp": body.timestamp or now,
        "session_id": body.session_id,
        "details": body.details,
        "date": day["date"],
        "created_at": now,
    }


def usage_answer(usage: Document, day: Document) -> UsageRecordResponse:
    """Return the answer to a charge, from the day as it was before."""
    amount = usage["credit_amount"]
    remaining = left_of(day) - amount
    return UsageRecordResponse(
        usage_id=str(usage["_id"]),
        user_id=str(usage["user_id"]),
        subscription_id=str(usage["subscription_id"]),
        service_type=usage["service_type"],
        credit_amount=amount,
        token_count=usage["token_count"],
        model_used=usage["model_used"],
        session_id=usage["session_id"],
        details=usage["details"],
        timestamp=usage["timestamp"],
        date=day["date"],
        daily_credit_limit=day["daily_credit_limit"],
        credits_used=day["credits_used"] + amount,
        credits_held=0,
        remaining_credits=remaining,
        low_credits=is_low(remaining, day),
        sources=[DaySource(date=day["date"], credit_amount=amount)] if amount else [],
        uncovered_credits=0,
        late=False,
    )

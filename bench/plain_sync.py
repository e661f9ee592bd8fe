"""temporary: sync variant"""

import os
from datetime import UTC, datetime

from bson import Int64, ObjectId
from fastapi import Depends, FastAPI, HTTPException, Response
from pymongo.errors import PyMongoError

from actors.api_keys import Scope
from actors.mongo.connection import connect
from bench.plain_service import *

database = connect(os.environ["BENCH_MONGO_URI"], PLAIN_DATABASE)
app = FastAPI()


@app.get("/status", dependencies=[Depends(allow(Scope.READ))])
def get_status(user_id: UserIdQuery) -> Response:
    now = datetime.now(UTC)
    subscription = database.subscriptions.find_one({"user_id": ObjectId(user_id)})
    day = database.dailycredits.find_one({"user_id": ObjectId(user_id), "date": today(now)})
    return Done(status_answer(user_id, subscription, day, now).model_dump_json())


@app.post("/usage", status_code=201, dependencies=[Depends(allow(Scope.WRITE))])
def record_usage(body: RecordUsageBody) -> Response:
    now = datetime.now(UTC)
    for attempt in range(5):
        try:
            with database.client.start_session() as session, session.start_transaction():
                where = {"user_id": ObjectId(body.user_id), "date": today(now)}
                day = database.dailycredits.find_one(where, session=session)
                left = day["daily_credit_limit"] + day["credits_rolled_over"] - day["credits_used"]
                if left < body.credit_amount:
                    raise HTTPException(402)
                database.dailycredits.update_one(
                    {"_id": day["_id"]},
                    {"$inc": {"credits_used": Int64(body.credit_amount)}},
                    session=session,
                )
                usage = usage_document(body, day, now)
                database.usages.insert_one(usage, session=session)
            return Done(usage_answer(usage, day).model_dump_json(), 201)
        except PyMongoError as error:
            if not error.has_error_label("TransientTransactionError") or attempt == 4:
                raise

"""Stripe's events of other users, while one is made anonymous whose id may be any word or number."""

import json
from typing import Any

import pytest

from actors.mongo.stripe import MongoStripe
from actors.stripe.prices import CREDITS, DAYS, EXPIRES, PRIORITY
from actors.stripe.records import EventState, StripeEvent, StripeRecord
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.anonymous_world import BOB, NUMBER, TEXT, anonymize, world
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import in_loop

SUBJECT = "sub_9"


def keep(stripe: MongoStripe, name: str, state: EventState, **parts: Any) -> None:
    """Keep an event as Stripe writes it, with spaces."""
    body = json.dumps({"data": {"object": parts}}, indent=2)
    event = StripeEvent(name, "x", 5, False, SUBJECT, "cus_9", body, NOON, state)
    stripe.keep(event)


def stored(mongo: MongoSetup) -> list[dict[str, Any]]:
    return list(mongo.database.allotment_stripe_events.find().sort("_id", 1))


@pytest.mark.parametrize("state", EventState)
@in_loop
async def test_events_of_others_stay_as_they_are_though_they_hold_the_users_number(
    mongo: MongoSetup, state: EventState
) -> None:
    stripe = MongoStripe(mongo.database)
    stripe.save(StripeRecord(SUBJECT, 1, 5, metadata_user=BOB, user_id=UserId(BOB)))
    metadata = dict.fromkeys((CREDITS, DAYS, EXPIRES, PRIORITY), NUMBER)
    async with world(mongo, NUMBER, BOB) as (_, jobs, _shards):
        keep(stripe, "evt_1", state, metadata={"user_id": BOB} | metadata)
        keep(stripe, "evt_2", state, unit_amount_decimal=NUMBER, description=f"{NUMBER} of Pro")
        before = stored(mongo)

        report = await anonymize(jobs, NUMBER)

    assert stored(mongo) == before
    assert "allotment_stripe_events" not in report.documents


@pytest.mark.parametrize("user", [TEXT, NUMBER])
@in_loop
async def test_an_event_of_another_subscription_that_names_the_user_names_them_no_longer(
    mongo: MongoSetup, user: str
) -> None:
    stripe = MongoStripe(mongo.database)
    async with world(mongo, user, BOB) as (_, jobs, _shards):
        keep(stripe, "evt_1", EventState.RECEIVED, metadata={"user_id": user, DAYS: "10"})
        keep(stripe, "evt_2", EventState.RECEIVED, lines=[{"client_reference_id": user}])
        keep(stripe, "evt_3", EventState.APPLIED, metadata={"user_id": user})
        keep(stripe, "evt_4", EventState.RECEIVED, metadata={"user_id": user})
        cut = f'{{"metadata": {{"user_id": "{user}"'
        where = {"_id": "evt_4"}
        mongo.database.allotment_stripe_events.update_one(where, {"$set": {"body": cut}})

        report = await anonymize(jobs, user)

    bodies = [document["body"] for document in stored(mongo)]
    assert [json.loads(body)["data"]["object"] for body in bodies[:2]] == [
        {"metadata": {"user_id": report.anonymous_id, DAYS: "10"}},
        {"lines": [{"client_reference_id": report.anonymous_id}]},
    ]
    assert bodies[2:] == ["", ""]
    assert report.documents["allotment_stripe_events"] == 4

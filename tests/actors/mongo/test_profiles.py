"""What events do to the application's users, in MongoDB, however often and late they come."""

from typing import Any

import pytest

from actors.events.delivery import RefusedDeliveryError
from actors.events.handlers import FeaturesHandler, ProfileHandler
from actors.events.records import OrderedEvent
from actors.mongo.events import MongoEvents
from actors.mongo.profiles import MongoProfiles
from domain.messages import ChangeSubscription, ExpireSubscription
from domain.values import Status, UserId
from tests.builders.authors import Author, write
from tests.builders.ledger import ONE_DAY
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import in_loop

USER = UserId("65f0a1b2c3d4e5f601234567")


def events_of_a_life(setup: MongoSetup) -> list[OrderedEvent]:
    """Let a user begin, pause, expire and come back; return the events in order."""
    author = Author(USER)
    entries = [author.add(3000, 30)]
    subscription_id = author.account.subscriptions[0].subscription_id
    entries.append(author.do(ChangeSubscription(USER, subscription_id, Status.PAUSED)))
    author.now += 40 * ONE_DAY
    entries.append(author.do(ExpireSubscription(USER, subscription_id)))
    entries.append(author.add(600, 6, "t-2"))
    write(setup.store, entries)
    return list(MongoEvents(setup.database).number(100))


@in_loop
async def take(handler: Any, events: list[OrderedEvent]) -> None:
    for event in events:
        if handler.wants(event):
            await handler.handle(event)


def profile(setup: MongoSetup) -> dict[str, Any]:
    return setup.document("users", _id=USER)


def test_the_profile_shows_what_a_status_shows(mongo: MongoSetup) -> None:
    mongo.insert("users", _id=USER, name="Ann", features={"other": True})
    handler = ProfileHandler(MongoProfiles(mongo.database, "users"))
    events = events_of_a_life(mongo)

    take(handler, events[:2])
    paused = profile(mongo)["subscription"]
    take(handler, events[2:])
    renewed = profile(mongo)

    assert (paused["status"], paused["total_credits"]) == ("paused", 3000)
    assert renewed["subscription"]["status"] == "active"
    assert renewed["subscription"]["total_credits"] == 600
    assert renewed["name"] == "Ann"


def test_the_users_may_be_in_a_collection_of_another_name(mongo: MongoSetup) -> None:
    mongo.insert("members", _id=USER, email="ann@example.org")
    profiles = MongoProfiles(mongo.database, "members")

    take(ProfileHandler(profiles), events_of_a_life(mongo))

    assert mongo.document("members", _id=USER)["subscription"]["status"] == "active"
    assert profiles.email_of(UserId(str(USER))) == "ann@example.org"
    assert mongo.database.users.count_documents({}) == 0


def test_an_event_that_comes_again_later_changes_nothing_back(mongo: MongoSetup) -> None:
    mongo.insert("users", _id=USER, name="Ann")
    events = events_of_a_life(mongo)
    profiles = MongoProfiles(mongo.database, "users")
    handlers = (ProfileHandler(profiles), FeaturesHandler(profiles, ["chat"]))
    for handler in handlers:
        take(handler, events)
    before = profile(mongo)

    for handler in handlers:
        take(handler, events[:5])

    assert profile(mongo) == before


def test_features_go_off_with_an_expiry_and_on_with_a_renewal(mongo: MongoSetup) -> None:
    mongo.insert("users", _id=USER, features={"other": True})
    handler = FeaturesHandler(MongoProfiles(mongo.database, "users"), ["chat", "export"])
    events = events_of_a_life(mongo)
    seen = []
    for event in events:
        take(handler, [event])
        seen.append(profile(mongo)["features"].get("chat"))

    assert [str(event.record.type) for event in events] == [
        "subscription.changed",
        "subscription.changed",
        "subscription.changed",
        "subscription.expired",
        "subscription.changed",
        "subscription.renewed",
    ]
    assert seen == [True, True, True, False, True, True]
    assert profile(mongo)["features"] == {"other": True, "chat": True, "export": True}


def test_an_address_is_the_profiles_or_none(mongo: MongoSetup) -> None:
    mongo.insert("users", _id=USER, email="ann@example.test")
    mongo.insert("users", _id="bob", email=7)
    profiles = MongoProfiles(mongo.database, "users")

    addresses = [profiles.email_of(UserId(user)) for user in (USER, "bob", "nobody")]

    assert addresses == ["ann@example.test", None, None]


def test_a_user_without_a_document_is_made_none(mongo: MongoSetup) -> None:
    events = events_of_a_life(mongo)
    profiles = MongoProfiles(mongo.database, "users")

    for handler in (ProfileHandler(profiles), FeaturesHandler(profiles, ["chat"])):
        take(handler, events)

    assert mongo.database.users.count_documents({}) == 0


def test_a_profile_that_the_database_refuses_is_no_outage(embedded: MongoSetup) -> None:
    # As a validator refuses a document: this index refuses two users of one status.
    embedded.database.users.create_index("subscription.status", unique=True)
    embedded.insert("users", _id="bob", subscription={"status": "active"})
    embedded.insert("users", _id=USER, subscription={"status": "trialing"})
    handler = ProfileHandler(MongoProfiles(embedded.database, "users"))

    with pytest.raises(
        RefusedDeliveryError, match="the database refuses the profile: DuplicateKeyError"
    ):
        take(handler, events_of_a_life(embedded)[:1])

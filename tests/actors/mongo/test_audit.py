"""The audit in MongoDB: kept, paged, trimmed, and renamed with a user who is made anonymous."""

from datetime import timedelta

import pytest

from actors.auth.api_keys import make_key
from actors.auth.audit import Act, ActOutcome, make_act
from actors.auth.caller import Scope
from actors.auth.limits import KeyLimits
from actors.janitor.anonymization_job import Anonymization, Step
from actors.mongo.audit import MongoAudit
from actors.mongo.jobs.rename import MongoRenaming
from actors.mongo.jobs.store import MongoJobStore
from actors.mongo.keys import MongoKeys
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.setups import MongoSetup

DAY = timedelta(days=1)
HEX = UserId("65a1b2c3d4e5f60718293a4b")


def act(days: int = 0, by: str = "key:1", user_id: UserId | None = None) -> Act:
    return make_act(NOON + days * DAY, by, "POST /admin/sync", target="t", user_id=user_id)


@pytest.mark.parametrize("name", ["at", "by", "action", "target", "made", "outcome"])
@pytest.mark.parametrize("said", [None, 7, ["x"]])
def test_an_act_that_another_program_has_edited_hides_no_other(
    mongo: MongoSetup, name: str, said: object
) -> None:
    audit, acts = MongoAudit(mongo.database), [act(day) for day in range(3)]
    for one in acts:
        audit.begin(one)
    mongo.database.allotment_audit.update_one({"_id": acts[1].act_id}, {"$set": {name: said}})

    last, edited, first = audit.page(10, None, None)

    assert [last, first] == [acts[2], acts[0]]
    assert (edited.act_id, edited.at) == (acts[1].act_id, acts[1].at)


@pytest.mark.parametrize("now_called", [UserId("anon-1"), HEX])
def test_an_act_ends_under_the_id_that_its_user_has_by_then(
    mongo: MongoSetup, now_called: UserId
) -> None:
    audit, asked = MongoAudit(mongo.database), act(user_id=UserId("ada"))
    audit.begin(asked)

    audit.finish(asked.act_id, ActOutcome.DONE, now_called=now_called)

    (ended,) = audit.page(10, None, None)
    assert ended.user_id == now_called


@pytest.mark.parametrize("user_id", [None, UserId("ada"), HEX])
def test_an_act_comes_back_as_it_was_kept_and_as_it_ended(
    mongo: MongoSetup, user_id: UserId | None
) -> None:
    audit, asked = MongoAudit(mongo.database), act(user_id=user_id)

    audit.begin(asked)
    begun = audit.page(10, None, None)
    audit.finish(asked.act_id, ActOutcome.DONE, "k2")

    assert begun == [asked]
    (ended,) = audit.page(10, None, None)
    assert (ended.outcome, ended.made, ended.user_id) == (ActOutcome.DONE, "k2", user_id)


def test_pages_are_newest_first_of_all_or_of_one_caller(mongo: MongoSetup) -> None:
    audit = MongoAudit(mongo.database)
    acts = [act(day, f"key:{day % 2}") for day in range(6)]
    for one in acts:
        audit.begin(one)

    assert audit.page(4, None, None) == acts[:1:-1]
    assert audit.page(4, acts[2].act_id, None) == [acts[1], acts[0]]
    assert audit.page(10, None, "key:0") == [acts[4], acts[2], acts[0]]
    assert audit.page(1, acts[4].act_id, "key:0") == [acts[2]]


def test_acts_of_one_millisecond_stay_in_their_order(mongo: MongoSetup) -> None:
    audit = MongoAudit(mongo.database)
    acts = [act() for _ in range(10)]
    for one in acts:
        audit.begin(one)

    assert audit.page(10, None, None) == acts[::-1]


def test_old_acts_and_keys_that_nobody_could_use_since_go(mongo: MongoSetup) -> None:
    audit, keys = MongoAudit(mongo.database), MongoKeys(mongo.database)
    for day in range(4):
        audit.begin(act(day))
    made = [
        make_key(name, Scope.READ, NOON, lifetime)[1]
        for name, lifetime in (
            ("revoked", None),
            ("expired", DAY),
            ("brief", 9 * DAY),
            ("long", None),
        )
    ]
    for key in made:
        keys.insert(key)
    keys.revoke(made[0].key_id, NOON)

    removed = MongoJobStore(mongo.database, "UTC").trim_audit(NOON + 2 * DAY)

    assert removed == 4
    assert [one.at for one in audit.page(10, None, None)] == [NOON + 3 * DAY, NOON + 2 * DAY]
    assert {key.name for key in keys.list()} == {"brief", "long"}


@pytest.mark.parametrize("user_id", [UserId("ada"), HEX])
def test_an_anonymous_user_is_in_no_act_and_no_limit(mongo: MongoSetup, user_id: UserId) -> None:
    audit, keys = MongoAudit(mongo.database), MongoKeys(mongo.database)
    audit.begin(act(user_id=user_id))
    audit.begin(act(user_id=UserId("bob")))
    for users in ({user_id}, {user_id, "bob"}, {"bob"}):
        limits = KeyLimits(frozenset(map(UserId, users)))
        keys.insert(make_key(str(sorted(users)), Scope.READ, NOON, limits=limits)[1])
    renaming = MongoRenaming(mongo.database, "users")

    renaming.rename(
        Anonymization("anm_1", user_id, UserId("anon-1"), Step.RENAMING, None, {}, NOON)
    )

    assert {one.user_id for one in audit.page(10, None, None)} == {"anon-1", "bob"}
    left = sorted(sorted(key.limits.user_ids or ()) for key in keys.list() if key.limits)
    assert left == [[], ["bob"], ["bob"]]

"""Keys and the test clock in MongoDB."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from actors.auth.api_keys import hash_of, make_key
from actors.auth.caller import Scope
from actors.auth.limits import KeyLimits
from actors.auth.stream_tokens import SECRET_BYTES
from actors.mongo.clock import MongoClock
from actors.mongo.keys import MongoKeys
from actors.mongo.secrets import MongoStreamSecret
from actors.protocol.store import StorageUnavailableError, UnsuitableDatabaseError
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.setups import MongoSetup

HOUR = timedelta(hours=1)


def test_a_key_comes_back_as_it_was_kept_without_its_secret(mongo: MongoSetup) -> None:
    keys = MongoKeys(mongo.database)
    text, key = make_key("panel", Scope.WRITE, NOON)

    keys.insert(key)

    assert keys.list() == [key]
    assert text not in str(mongo.documents("allotment_api_keys"))


LIMITS = KeyLimits(frozenset({UserId("ada")}), "org/", frozenset({"chat"}))


@pytest.mark.parametrize(
    "limits", [LIMITS, KeyLimits(frozenset()), KeyLimits(None, "org/"), None], ids=str
)
def test_a_limited_key_comes_back_with_its_limits(
    mongo: MongoSetup, limits: KeyLimits | None
) -> None:
    keys = MongoKeys(mongo.database)
    _, key = make_key("panel", Scope.ADMIN, NOON, limits=limits)

    keys.insert(key)

    assert keys.list() == [key]


def test_a_version_that_knows_no_limits_finds_no_limited_key(mongo: MongoSetup) -> None:
    """It looks for the hash of what is shown."""
    keys = MongoKeys(mongo.database)
    text, key = make_key("panel", Scope.ADMIN, NOON, limits=LIMITS)
    keys.insert(key)

    (stored,) = mongo.documents("allotment_api_keys")

    assert stored["hash"] not in (hash_of(text), key.hash)
    assert stored["hash"].endswith(hash_of(text))


@pytest.mark.parametrize(
    "spoilt",
    [
        *(None, 5, "ada", [], {}),
        {"user_ids": "ada", "user_id_prefix": None, "services": None},
        {"user_ids": [5], "user_id_prefix": None, "services": None},
        {"user_ids": None, "user_id_prefix": None, "services": None},
        {"user_ids": None, "user_id_prefix": 5, "services": None},
        {"user_ids": None, "services": None},
    ],
    ids=str,
)
def test_a_key_whose_limits_cannot_be_read_is_for_nobody(mongo: MongoSetup, spoilt: object) -> None:
    keys = MongoKeys(mongo.database)
    _, key = make_key("panel", Scope.ADMIN, NOON, limits=LIMITS)
    keys.insert(key)
    mongo.database.allotment_api_keys.update_one({}, {"$set": {"limits": spoilt}})

    limits = keys.list()[0].limits

    assert limits is not None
    assert not any(map(limits.admits_user, map(UserId, ("ada", "org/a", "5", "bob"))))


def test_the_secret_of_stream_tokens_is_made_once_and_made_again_where_it_was_removed(
    mongo: MongoSetup,
) -> None:
    ring = [MongoStreamSecret(mongo.database) for _ in range(4)]
    with ThreadPoolExecutor(len(ring)) as pool:
        (first,) = set(pool.map(MongoStreamSecret.secret, ring))

    mongo.database.allotment_secrets.delete_many({})
    second = ring[0].secret()

    assert len(first) == SECRET_BYTES
    assert second != first


@pytest.mark.parametrize(
    "spoilt", [None, "", "a text of more than 32 characters, no secret", b"short"]
)
def test_a_secret_that_somebody_has_spoilt_signs_nothing(mongo: MongoSetup, spoilt: object) -> None:
    secret = MongoStreamSecret(mongo.database)
    secret.secret()
    mongo.database.allotment_secrets.update_one({}, {"$set": {"secret": spoilt}})

    with pytest.raises(StorageUnavailableError):
        secret.secret()


def test_the_last_use_of_a_key_only_moves_on(mongo: MongoSetup) -> None:
    keys = MongoKeys(mongo.database)
    _, key = make_key("panel", Scope.READ, NOON)
    keys.insert(key)

    for at in (NOON, NOON + HOUR, NOON - HOUR):
        keys.note_used([key.key_id], at)

    assert keys.list()[0].last_used_at == NOON + HOUR


def test_a_key_is_revoked_once(mongo: MongoSetup) -> None:
    keys = MongoKeys(mongo.database)
    _, key = make_key("panel", Scope.READ, NOON)
    keys.insert(key)

    assert keys.revoke(key.key_id, NOON)
    assert not keys.revoke(key.key_id, NOON + HOUR)
    assert not keys.revoke("unknown", NOON)
    assert keys.list()[0].revoked_at == NOON


def test_keys_of_older_versions_were_never_used(mongo: MongoSetup) -> None:
    keys = MongoKeys(mongo.database)
    _, key = make_key("panel", Scope.READ, NOON)
    keys.insert(key)
    mongo.database.allotment_api_keys.update_one(
        {"_id": key.key_id}, {"$unset": {"last_used_at": 1}}
    )

    assert keys.list()[0].last_used_at is None


def test_the_clock_is_ahead_as_far_as_it_ever_was(mongo: MongoSetup) -> None:
    clock = MongoClock(mongo.database)

    kept = [clock.offset(), clock.advance(HOUR), clock.advance(HOUR / 2), clock.advance(2 * HOUR)]

    assert kept == [timedelta(0), HOUR, HOUR, 2 * HOUR]
    assert MongoClock(mongo.database).offset() == 2 * HOUR


def test_a_service_without_a_test_clock_does_not_go_back_to_the_real_time(
    mongo: MongoSetup,
) -> None:
    clock = MongoClock(mongo.database)
    clock.check(may_be_ahead=False)

    clock.advance(HOUR)

    clock.check(may_be_ahead=True)
    with pytest.raises(UnsuitableDatabaseError, match="ALLOTMENT_TEST_CLOCK=1"):
        clock.check(may_be_ahead=False)

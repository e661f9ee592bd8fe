"""Keys that end by themselves, and keys that take the place of others for a while beside them."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actors.auth.api_keys import KeyRing, make_key
from actors.auth.caller import Caller, Scope
from actors.auth.first_key import first_key
from actors.auth.key_desk import KeyDesk
from actors.auth.limits import KeyLimits
from actors.cli import keys as key_commands
from actors.cli.key_store import Kept
from actors.cli.keys import cells_of, key_row
from actors.cli.main import app
from actors.mongo.keys import MongoKeys
from domain.values import UserId
from tests.builders.authors import NOON
from tests.fakes.memory_audit import MemoryAudit
from tests.fakes.memory_keys import Keys
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import in_loop

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Keys:
    """Return the keys that the commands work on; the data directory is an empty one."""
    keys = Keys()
    kept = Kept(keys, MemoryAudit())
    monkeypatch.setattr(key_commands, "key_store", lambda _: contextlib.nullcontext(kept))
    monkeypatch.setenv("ALLOTMENT_DATA_DIR", str(tmp_path))
    return keys


def run(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["keys", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("away", [False, True])
@in_loop
async def test_a_key_is_refused_from_the_moment_it_expires(*, away: bool) -> None:
    store, now = Keys(), [NOON]
    text, key = make_key("test", Scope.WRITE, NOON, HOUR)
    store.insert(key)
    ring = KeyRing(store, lambda: now[0])

    now[0] = NOON + HOUR - SECOND
    before = await ring.caller_of(text)
    store.away = away
    now[0] = NOON + HOUR
    known = ring.known(text)

    assert before is not None
    assert known is None


@pytest.mark.parametrize(
    ("told", "lifetime"),
    [("90d", timedelta(days=90)), ("24h", 24 * HOUR), ("30m", HOUR / 2)],
)
def test_a_key_lives_as_long_as_is_told_and_the_list_says_so(
    store: Keys, told: str, lifetime: timedelta
) -> None:
    made = run("create", "--scope", "read", "--name", "panel", "--expires", told)
    (kept,) = store.list()

    assert moment(made["expires_at"]) - moment(made["created_at"]) == lifetime
    assert cells_of(key_row(kept))[-1].startswith("until ")


def test_the_list_says_what_has_expired() -> None:
    _, key = make_key("panel", Scope.READ, NOON, HOUR)
    _, other = make_key("panel", Scope.READ, NOON)

    assert cells_of(key_row(key))[-1] == "expired 2026-03-10 13:00"
    assert cells_of(key_row(other))[-1] == "in force"


@pytest.mark.parametrize("told", ["0d", "90", "d", "-1d", "1w", "999999d", "1.5h"])
def test_what_is_no_lifetime_is_refused(store: Keys, told: str) -> None:
    words = ["keys", "create", "--scope", "read", "--name", "panel", f"--expires={told}"]

    assert CliRunner().invoke(app, words).exit_code == 2
    assert store.list() == []


def test_a_key_is_rotated_with_both_in_force_for_the_overlap(store: Keys) -> None:
    old = run("create", "--scope", "write", "--name", "shop", "--expires", "90d")
    new = run("rotate", old["key_id"], "--overlap", "48h")
    kept = {key.key_id: key for key in store.list()}
    now = datetime.now(UTC)

    assert new["key"] != old["key"]
    assert (new["name"], new["scope"]) == ("shop", "write")
    assert moment(new["expires_at"]) - moment(new["created_at"]) == timedelta(days=90)
    assert kept[old["key_id"]].in_force(now + 47 * HOUR)
    assert not kept[old["key_id"]].in_force(now + 48 * HOUR)
    assert kept[new["key_id"]].in_force(now + 48 * HOUR)


def test_a_key_is_limited_and_its_successor_as_well(store: Keys) -> None:
    asked = ("--user", "ada", "--user", "65A1B2C3D4E5F60718293A4B", "--user-prefix", "org/")
    made = run("create", "--scope", "write", "--name", "org", *asked, "--service", "chat")
    new = run("rotate", made["key_id"])
    limits = KeyLimits(
        frozenset({UserId("ada"), UserId("65a1b2c3d4e5f60718293a4b")}), "org/", frozenset({"chat"})
    )

    assert {key.limits for key in store.list()} == {limits}
    for row in (made, new):
        assert row["user_ids"] == ["65a1b2c3d4e5f60718293a4b", "ada"]
        assert (row["user_id_prefix"], row["services"]) == ("org/", ["chat"])
    cells = cells_of(key_row(store.list()[0]))
    assert "users: 65a1b2c3d4e5f60718293a4b, ada, org/*; services: chat" in cells


@pytest.mark.parametrize(
    "asked",
    [
        *(["--user", ""], ["--user", "a b"], ["--user", "a" * 129], ["--user-prefix", ""]),
        *(["--user-prefix", "a b"], ["--service", ""], ["--service", "a\n"]),
        [word for n in range(101) for word in ("--user", f"u{n}")],
    ],
    ids=lambda asked: " ".join(asked)[:20],
)
def test_limits_that_are_none_make_no_key(store: Keys, asked: list[str]) -> None:
    words = ["keys", "create", "--scope", "admin", "--name", "panel", *asked]

    assert CliRunner().invoke(app, words).exit_code == 2
    assert store.list() == []


def test_the_overlap_is_a_day_unless_told_and_never_longer_than_the_old_key_lives(
    store: Keys,
) -> None:
    long = run("create", "--scope", "read", "--name", "long")
    brief = run("create", "--scope", "read", "--name", "brief", "--expires", "1h")
    successor = run("rotate", long["key_id"])
    run("rotate", brief["key_id"], "--expires", "2h")
    kept = {key.key_id: key for key in store.list()}
    now = datetime.now(UTC)

    assert successor["expires_at"] is None
    assert kept[long["key_id"]].in_force(now + 23 * HOUR)
    assert not kept[long["key_id"]].in_force(now + 24 * HOUR)
    assert not kept[brief["key_id"]].in_force(now + HOUR)


@pytest.mark.parametrize("ended", ["unknown", "revoked", "expired"])
def test_only_a_key_in_force_is_rotated(store: Keys, ended: str) -> None:
    _, key = make_key("panel", Scope.READ, NOON, HOUR if ended == "expired" else None)
    if ended != "unknown":
        store.insert(key)
    if ended == "revoked":
        store.revoke(key.key_id, NOON)
    before = store.list()

    done = CliRunner().invoke(app, ["keys", "rotate", key.key_id])

    assert (done.exit_code, done.stdout) == (1, "")
    assert store.list() == before


def test_the_key_of_the_commands_is_rotated_where_it_is_kept(store: Keys, tmp_path: Path) -> None:
    old = run("create", "--scope", "admin", "--name", "first")
    other = run("create", "--scope", "admin", "--name", "other")
    (tmp_path / "admin.key").write_text(old["key"] + "\n")

    run("rotate", other["key_id"])
    assert (tmp_path / "admin.key").read_text() == old["key"] + "\n"
    new = run("rotate", old["key_id"])

    assert (tmp_path / "admin.key").read_text() == new["key"] + "\n"


def test_expiry_is_kept_in_mongodb_and_moves_to_earlier_times_only(embedded: MongoSetup) -> None:
    keys = MongoKeys(embedded.database)
    _, key = make_key("panel", Scope.READ, NOON, 2 * HOUR)
    _, endless = make_key("endless", Scope.READ, NOON + SECOND)
    for one in (key, endless):
        keys.insert(one)
    embedded.database.allotment_api_keys.update_one(  # As a version before has written it.
        {"_id": endless.key_id}, {"$unset": {"expires_at": ""}}
    )

    assert keys.expire(key.key_id, NOON + HOUR)
    assert keys.expire(key.key_id, NOON + 3 * HOUR)
    assert [one.expires_at for one in keys.list()] == [NOON + HOUR, None]
    assert keys.expire(endless.key_id, NOON + HOUR)
    assert [one.expires_at for one in keys.list()] == [NOON + HOUR] * 2
    keys.revoke(key.key_id, NOON)
    assert not keys.expire(key.key_id, NOON)
    assert not keys.expire("unknown", NOON)


def test_a_key_that_was_rotated_before_has_a_successor_that_lives_as_long_as_it_was_made_for(
    embedded: MongoSetup,
) -> None:
    keys, caller = MongoKeys(embedded.database), Caller("key:1", Scope.ADMIN)
    desk = KeyDesk(keys, lambda: NOON)
    lives = []
    for lifetime in (None, 40 * HOUR):
        _, key = desk.make(caller, "panel", Scope.READ, lifetime, None)
        for _ in range(2):  # The answer of the first one was lost.
            _, successor = desk.rotate(caller, key.key_id, HOUR, None)
            lives.append(successor.expires_at)

    assert lives == [None, None, NOON + 40 * HOUR, NOON + 40 * HOUR]


def test_a_key_of_before_lifetimes_were_kept_has_a_successor_of_its_span(
    embedded: MongoSetup,
) -> None:
    keys, caller = MongoKeys(embedded.database), Caller("key:1", Scope.ADMIN)
    _, key = make_key("panel", Scope.READ, NOON, 2 * HOUR)
    keys.insert(key)
    embedded.database.allotment_api_keys.update_one({}, {"$unset": {"lifetime_seconds": ""}})

    _, successor = KeyDesk(keys, lambda: NOON + HOUR).rotate(caller, key.key_id, HOUR, None)

    assert successor.expires_at == NOON + 3 * HOUR


@pytest.mark.parametrize(
    "spoilt",
    [
        {"$unset": {"scope": ""}},
        {"$set": {"scope": "owner"}},
        {"$set": {"hash": 7}},
        {"$set": {"created_at": "yesterday"}},
        {"$set": {"expires_at": "tomorrow"}},
        {"$unset": {"revoked_at": ""}},
    ],
    ids=str,
)
def test_a_key_that_cannot_be_read_is_out_of_force_and_keeps_no_other_from_being_read(
    embedded: MongoSetup, spoilt: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    keys = MongoKeys(embedded.database)
    (_, odd), (_, good) = (make_key(name, Scope.READ, NOON, HOUR) for name in ("odd", "good"))
    for key in (odd, good):
        keys.insert(key)
    embedded.database.allotment_api_keys.update_one({"_id": odd.key_id}, spoilt)

    read = [keys.list() for _ in range(3)]

    assert [[key.key_id for key in found] for found in read] == [[good.key_id]] * 3
    assert [r.getMessage() for r in caplog.records] == [
        f"the API key {odd.key_id} cannot be read and is not in force"
    ]


def test_where_every_admin_key_is_limited_a_start_makes_one(
    embedded: MongoSetup, tmp_path: Path
) -> None:
    _, key = make_key("panel", Scope.ADMIN, NOON, limits=KeyLimits(None, "org/"))
    MongoKeys(embedded.database).insert(key)

    assert first_key(MongoKeys(embedded.database), MemoryAudit(), tmp_path) is not None


def test_where_every_admin_key_has_expired_a_start_makes_one(
    embedded: MongoSetup, tmp_path: Path
) -> None:
    _, key = make_key("old", Scope.ADMIN, NOON, HOUR)
    MongoKeys(embedded.database).insert(key)

    assert first_key(MongoKeys(embedded.database), MemoryAudit(), tmp_path) is not None

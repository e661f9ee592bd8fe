"""`allotment import`: what users had elsewhere is given once, whatever ends or repeats the command."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import Binary, Decimal128, Int64, ObjectId

from actors.auth.caller import Scope
from actors.mongo.balances import Balance, Balances, UnreadBalance
from tests.fakes.interface import Listening, listening
from tests.fakes.setups import MongoSetup
from tests.patience import PATIENCE_SECONDS
from tests.service.running import wait_until

ROOT = Path(__file__).parents[3]
BOB = ObjectId("65f0a1b2c3d4e5f601234567")
READ: list[tuple[Any, Any, str, int]] = [
    ("ada", 3000, "ada", 3000),
    (BOB, 50.0, str(BOB), 50),
    ("ü/%", Int64(7), "ü/%", 7),
    ("dec", Decimal128("12.0"), "dec", 12),
    ("none", 0, "none", 0),
]
UNREAD: list[tuple[Any, Any, str]] = [
    (5, 10, "its user_id is a int"),
    (datetime(2026, 1, 1, tzinfo=UTC), 10, "its user_id is a datetime"),
    (Binary(b"x" * 16, 4), 10, "its user_id is a Binary"),
    ("A" * 24, 10, "its user_id is a text of 24 hex digits, some in upper case"),
    ("long" * 40, 10, "a user id has 1 to 128 characters"),
    ("text", "10", "credits is not a number"),
    ("bool", True, "credits is not a number"),
    ("null", None, "credits is not a number"),
    ("part", 1.5, "credits is not a whole number"),
    ("nan", math.nan, "credits is not a whole number"),
    ("decimal-nan", Decimal128("NaN"), "credits is not a whole number"),
    ("less", -1, "credits is negative"),
    ("much", 2**62, "credits is too large"),
    ("list", [1], "credits is not a number"),
]


def balances(mongo: MongoSetup, credits_field: str = "credits", user: str = "_id") -> Balances:
    return Balances(mongo.database, "people", user_field=user, credits_field=credits_field)


def test_what_can_be_given_is_read_and_what_cannot_is_named(mongo: MongoSetup) -> None:
    documents = [{"_id": key, "credits": value} for key, value, *_ in [*READ, *UNREAD]]
    mongo.database.people.insert_many(documents)

    found = list(balances(mongo).read())

    read = {(one.user_id, one.credits) for one in found if isinstance(one, Balance)}
    assert read == {(user_id, credit) for *_, user_id, credit in READ}
    unread = sorted(one.reason for one in found if isinstance(one, UnreadBalance))
    assert unread == sorted(reason for *_, reason in UNREAD)


def test_fields_may_lie_within_others_and_a_missing_one_is_named(mongo: MongoSetup) -> None:
    mongo.database.people.insert_many(
        [{"_id": 1, "who": {"id": "ada"}, "wallet": {"left": 5}}, {"_id": 2, "wallet": 3}]
    )

    found = list(balances(mongo, "wallet.left", "who.id").read())

    assert [one.user_id for one in found if isinstance(one, Balance)] == ["ada"]
    assert [one for one in found if isinstance(one, UnreadBalance)] == [
        UnreadBalance('{"$numberInt": "2"}', "it has no user_id")
    ]


def test_each_document_has_a_key_of_its_own_whatever_the_type_of_its_id(mongo: MongoSetup) -> None:
    ids = [BOB, str(BOB), 5, "5", 5.5, Int64(2**40), "ada"]
    mongo.database.people.insert_many([{"_id": i, "u": "ada", "credits": 1} for i in ids])
    mongo.database.others.insert_one({"_id": "ada", "u": "ada", "credits": 1})
    others = Balances(mongo.database, "others", user_field="u", credits_field="credits")

    found = [*balances(mongo, user="u").read(), *others.read()]

    keys = {one.key for one in found if isinstance(one, Balance)}
    assert len(keys) == len(ids) + 1
    assert keys == {
        one.key
        for one in [*balances(mongo, user="u").read(), *others.read()]
        if isinstance(one, Balance)
    }


class Command:
    """The command in a process of its own, beside a service in this one."""

    def __init__(self, folder: Path, interface: Listening, uri: str, database: str) -> None:
        self.interface = interface
        (folder / "admin.key").write_text(interface.keys[Scope.ADMIN] + "\n")
        self.environment = os.environ | {
            "ALLOTMENT_DATA_DIR": str(folder),
            "ALLOTMENT_HTTP_PORT": str(interface.port),
            "ALLOTMENT_MONGO_URI": uri,
            "ALLOTMENT_MONGO_DB": database,
        }

    def start(self, *more: str, collection: str = "people") -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "actors",
                "import",
                "--from",
                collection,
                "--credits",
                "credits",
                *more,
            ],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *more: str) -> dict[str, Any]:
        process = self.start("--json", *more)
        told, wrong = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, wrong
        return dict(json.loads(told))

    def status(self, user_id: str) -> dict[str, Any]:
        url = f"{self.interface.address}/subscription/status"
        answer = httpx.get(url, params={"user_id": user_id}, headers=self.interface.headers())
        return dict(answer.raise_for_status().json())

    @property
    def given(self) -> int:
        return len(self.interface.store.journal)


@contextmanager
def commanded(folder: Path, embedded: MongoSetup, uri: str) -> Iterator[Command]:
    with listening() as interface:
        yield Command(folder, interface, uri, embedded.database.name)


def test_a_dry_run_tells_and_gives_nothing(
    tmp_path: Path, embedded: MongoSetup, mongo_uri: str
) -> None:
    embedded.database.people.insert_many(
        [{"_id": f"u-{n:03}", "credits": 10} for n in range(150)] + [{"_id": "x", "credits": "?"}]
    )
    with commanded(tmp_path, embedded, mongo_uri) as command:
        process = command.start("--dry-run")
        told, wrong = process.communicate(timeout=PATIENCE_SECONDS)
        given = command.given

    lines = told.splitlines()
    assert (process.returncode, given, wrong) == (0, 0, "")
    assert "… and 130 more\t\t" in lines
    assert "150 users\t1500\t1350" in lines
    assert "skipped x: credits is not a number" in lines
    assert len(lines) < 30


@pytest.mark.parametrize("pack", [False, True])
def test_killed_midway_and_repeated_everybody_is_given_once(
    tmp_path: Path, embedded: MongoSetup, mongo_uri: str, pack: bool
) -> None:
    count, options = 400, ["--pack"] if pack else ["--days", "10"]
    people = [{"_id": f"u-{number:03}", "credits": 100} for number in range(count - 1)]
    embedded.database.people.insert_many([*people, {"_id": BOB, "credits": 100.0}, {"_id": 7}])
    with commanded(tmp_path, embedded, mongo_uri) as command:
        first = command.start(*options)
        wait_until(lambda: command.given >= 20, PATIENCE_SECONDS)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        killed_at = command.given
        second = command.run(*options)
        third = command.run(*options)
        # What was given is given, whatever has become of the collection and however it is asked.
        embedded.database.people.update_many({"_id": {"$ne": 7}}, {"$set": {"credits": 500}})
        fourth = command.run("--pack" if not pack else "--days=20")
        shown = [command.status(user) for user in ("u-000", "u-398", str(BOB))]
        entries = command.given

    assert 20 <= killed_at < count
    assert entries == count
    assert second["given"] + second["before"] == count
    assert second["before"] >= killed_at
    for repeat in (third, fourth):
        assert (repeat["given"], repeat["before"], repeat["refused"]) == (0, count, 0)
        assert repeat["skipped"] == [
            {"id": '{"$numberInt": "7"}', "reason": "its user_id is a int"}
        ]
    assert (
        [one["pack_credits"] if pack else one["total_credits"] for one in shown] == [90, 90, 90]
        if pack
        else [100] * 3
    )


def test_without_a_service_it_says_so_and_names_how_far_it_is(
    tmp_path: Path, embedded: MongoSetup, mongo_uri: str
) -> None:
    embedded.database.people.insert_one({"_id": "ada", "credits": 5})
    with commanded(tmp_path, embedded, mongo_uri) as command:
        nothing = command.start(collection="nobody")
        _, wrong = nothing.communicate(timeout=PATIENCE_SECONDS)
        command.environment["ALLOTMENT_HTTP_PORT"] = "1"
        command.environment["ALLOTMENT_DATA_DIR"] = str(tmp_path / "elsewhere")
        keyless = command.start()
        _, unknown = keyless.communicate(timeout=PATIENCE_SECONDS)

    assert nothing.returncode == keyless.returncode == 1
    assert f"There is no collection nobody in {embedded.database.name}." in wrong
    assert "There is no admin key" in unknown

"""Transactions that other programs leave open: the service goes on, and the database's log is short."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pymongo
import pytest

from actors.embedded.server import find_engines
from tests.builders.embedded_server import log_bytes
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, wait_until
from tests.stopping import stop_process

PROGRAM = """
import sys
from pymongo import MongoClient
from tests.patience import PATIENCE_SECONDS
notes = MongoClient(sys.argv[1], retryWrites=False).allotment.notes
notes.insert_one({"about": sys.argv[2]})
session = notes.database.client.start_session()
session.start_transaction()
notes.insert_one({"about": sys.argv[2]}, session=session)
print("open", flush=True)
sys.stdin.read()
"""
MEGABYTE = "x" * 1024 * 1024
WRITTEN_MEGABYTES = 300  # Several files of the log, and as many checkpoints.
LOG_BYTES_MAX = 4 * 64 * 1024 * 1024  # A checkpoint is due after one file of it.
TRIMMED_SECONDS_MAX = PATIENCE_SECONDS

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        [engine.name for engine in find_engines()][:1] != ["secantusd-rs"],
        reason="the native embedded server is not installed",
    ),
]


@pytest.fixture(params=["idle", "stopped", "killed"])
def user(
    request: pytest.FixtureRequest, service: RunningService, http: httpx.Client
) -> Iterator[str]:
    """Return a user about whom a program writes in a transaction that it never ends."""
    name = f"left-open-{request.param}"
    payment = {"method": "card", "transaction_id": name, "amount": 1, "currency": "eur"}
    grant = {"user_id": name, "amount": 3000, "days": 30, "payment": payment}
    assert http.post("/subscription/credits", json=grant).status_code == 201
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, service.mongo_uri, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "open\n"
        if request.param == "stopped":
            stop_process(program.pid)
        if request.param == "killed":
            program.kill()
        yield name
        program.send_signal(signal.SIGKILL)


def test_charges_indexes_and_checkpoints_go_on_while_a_transaction_is_left_open(
    service: RunningService, http: httpx.Client, user: str
) -> None:
    charge = {"user_id": user, "service_type": "chat", "credit_amount": 1}

    with pymongo.MongoClient[dict[str, Any]](service.mongo_uri, retryWrites=False) as client:
        for number in range(WRITTEN_MEGABYTES):
            client[user].things.insert_one({"text": MEGABYTE})
            if number % 50 == 0:
                client[f"{user}-{number}"].things.create_index("text")
                assert http.post("/subscription/usage", json=charge).status_code == 201
        for name in client.list_database_names():
            if name.startswith(user):
                client.drop_database(name)

    wait_until(lambda: log_bytes(service.data_dir / "mongo") <= LOG_BYTES_MAX, TRIMMED_SECONDS_MAX)
    assert http.get("/subscription/status", params={"user_id": user}).json()["credits_used"] == 6

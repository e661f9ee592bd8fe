"""Thresholds of low credits on the running service: every shard takes them, and keeps them over a restart."""

import os
import signal
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from actors.protocol.directory import even
from domain.values import UserId
from tests.patience import PATIENCE_SECONDS
from tests.service.receiver import Receiver
from tests.service.requests import add_credits, charge, status
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

LOW = "subscription.low_credits"
USERS = [f"steps-{number}" for number in range(8)]


def set_thresholds(http: httpx.Client, percents: Sequence[int] | None) -> None:
    http.patch("/admin/settings", json={"low_credits_percents": percents}).raise_for_status()


def add_to_all(http: httpx.Client, transaction: str) -> None:
    """Give every user 90 credits a day more."""
    payment = {"method": "card", "transaction_id": transaction, "amount": 1, "currency": "eur"}
    for user in USERS:
        add_credits(http, user, payment=payment).raise_for_status()


def charge_all(http: httpx.Client, amount: int) -> None:
    """Charge every user once, also where their shard has to start again first."""

    def are_charged() -> bool:
        done = [charge(http, user, amount, f"{amount} of {user}") for user in USERS]
        return {answer.status_code for answer in done} == {201}

    wait_until(are_charged, PATIENCE_SECONDS)


def are_low(http: httpx.Client) -> set[bool]:
    return {status(http, user)["low_credits"] for user in USERS}


def told(receiver: Receiver, user: str) -> list[dict[str, Any]]:
    """Return the data of a user's events of low credits, each once."""
    return list({e["id"]: e["data"] for e in receiver.events_of(user, LOW)}.values())


def test_thresholds_set_at_run_time_count_at_both_shards_and_over_their_restart(
    service: RunningService, http: httpx.Client, receiver: Receiver
) -> None:
    table = even(1, 2)
    assert {table.owner(UserId(user)) for user in USERS} == {0, 1}
    add_to_all(http, "t-1")
    charge_all(http, 48)
    assert are_low(http) == {False}

    set_thresholds(http, [10, 50, 30])
    wait_until(lambda: are_low(http) == {True}, PATIENCE_SECONDS)
    charge_all(http, 1)
    charge_all(http, 30)
    for shard in http.get("/admin/shards").json():
        os.kill(shard["pid"], signal.SIGKILL)
    charge_all(http, 3)
    wait_until(lambda: all(len(told(receiver, u)) == 3 for u in USERS), PATIENCE_SECONDS)

    for data in (told(receiver, user) for user in USERS):
        assert [facts["low_credits_percent"] for facts in data] == [50, 30, 10]
        assert [facts["low_credits_percents"] for facts in data] == [[50, 30, 10]] * 3
    add_to_all(http, "t-2")  # 98 of 180 are left.
    set_thresholds(http, None)
    charge_all(http, 20)
    wait_until(lambda: are_low(http) == {False}, PATIENCE_SECONDS)

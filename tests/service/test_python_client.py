"""The Python client over HTTP on the running service: the example, killed shards."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from allotment_client import (
    Allotment,
    AsyncAllotment,
    ForbiddenError,
    InsufficientCredits,
    UnauthorizedError,
)
from bench.processes import free_port
from tests.fakes.shards import in_loop
from tests.patience import PATIENCE_SECONDS
from tests.service.processes import actor_pids
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]
PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
PAIRS = 200


@pytest.fixture(scope="module")
def allotment(service: RunningService) -> Iterator[Allotment]:
    with Allotment.connect(service.address, service.key, timeout_seconds=60) as client:
        yield client


def test_an_account_is_seen_alike_by_all_ways(allotment: Allotment, http: httpx.Client) -> None:
    added = allotment.add_credit("joan", 3000, 30, PAYMENT)
    charged = allotment.record_usage("joan", "chat", 30, details={"tokens": 7})
    priced = allotment.record_usage("joan", "chat", token_count=9000, model_used="small-7")
    with pytest.raises(InsufficientCredits) as short:
        allotment.record_usage("joan", "chat", 91)

    shown = allotment.check_daily_allocation("joan")
    over_http = http.get("/subscription/status", params={"user_id": "joan"}).json()
    month = allotment.get_monthly_usage("joan", f"{shown.as_of:%Y-%m}")
    records = list(allotment.usage("joan", limit=1))
    assert added.subscription.daily_credit_limit == 90
    assert (charged.details, priced.credit_amount) == ({"tokens": 7}, 3)
    assert shown.remaining_credits == over_http["remaining_credits"] == 57
    assert (month.records, month.credit_amount) == (2, 33)
    assert {record.usage_id for record in records} == {charged.usage_id, priced.usage_id}
    assert short.value.available_at == shown.resets_at
    assert short.value.shortfall is not None
    assert short.value.shortfall.remaining_credits == 57


def test_what_operators_read_is_read(allotment: Allotment) -> None:
    added = allotment.add_credit("hedy", 3000, 30, PAYMENT)
    assert added.subscription.subscription_id is not None

    changed = allotment.change_subscription(
        added.subscription.subscription_id, status="paused", reason="asked for"
    )
    history = allotment.get_history("hedy", limit=1)
    page = allotment.list_subscriptions("paused")
    events = allotment.events(user_id="hedy", after="beginning")
    swept = allotment.validate(repair=False)

    assert changed.status == "paused"
    assert history.items[0].kind
    assert history.next_cursor is not None
    assert "hedy" in {one.user_id for one in page.items}
    assert next(events).type == "subscription.changed"
    assert swept.sweep_id in {report.sweep_id for report in allotment.get_sweeps("sweep")}
    assert len(allotment.get_shards()) >= 1
    assert allotment.get_sync().lag_seconds >= 0
    assert not allotment.get_resharding().running
    assert "head" in allotment.get_events_report()
    assert not allotment.get_stripe_reconciliation().running
    assert allotment.sync("hedy").checked == 1
    assert isinstance(allotment.get_anonymizations(), list)


def test_keys_that_may_not_are_told_apart(service: RunningService) -> None:
    made = service.command("keys", "create", "--scope", "read", "--name", "reader")
    with Allotment.connect(service.address, made.stdout.split()[-1]) as reader:
        assert reader.check_daily_allocation("joan").user_id == "joan"
        with pytest.raises(ForbiddenError):
            reader.record_usage("joan", "chat", 1)
    with (
        Allotment.connect(service.address, "wrong") as stranger,
        pytest.raises(UnauthorizedError),
    ):
        stranger.check_daily_allocation("joan")


async def hold_pairs(service: RunningService, user: str) -> list[int]:
    """Hold and settle many times at once, and kill the shards amid it; return what was charged."""
    charged: list[int] = []
    client = AsyncAllotment.connect(service.address, service.key, timeout_seconds=PATIENCE_SECONDS)

    async def pair(number: int) -> None:
        async with client.holding(user, "chat", 10) as holding:
            holding.report(number % 7)
        assert holding.usage is not None
        charged.append(holding.usage.credit_amount)
        if len(charged) == PAIRS // 4:
            for pid in actor_pids(service, "ShardActor"):
                os.kill(pid, signal.SIGKILL)

    async with client:
        await asyncio.gather(*(pair(number) for number in range(PAIRS)))
    return charged


def test_pairs_of_one_user_are_exact_while_shards_are_killed(
    allotment: Allotment, service: RunningService
) -> None:
    allotment.add_credit("anita", 90_000, 1, PAYMENT)

    charged: list[int] = []

    @in_loop
    async def hold_and_settle() -> None:
        charged.extend(await hold_pairs(service, "anita"))

    hold_and_settle()

    shown = allotment.check_daily_allocation("anita")
    assert sorted(charged) == sorted(number % 7 for number in range(PAIRS))
    assert (shown.credits_used, shown.credits_held) == (sum(charged), 0)
    assert not allotment.get_holds("anita").holds


@pytest.fixture
def application(service: RunningService, tmp_path: Path) -> Iterator[httpx.Client]:
    """Yield a client of the example, run as its own text says."""
    port = free_port()
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)],
            cwd=ROOT / "examples" / "fastapi",
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
                "ALLOTMENT_URL": service.address,
                "ALLOTMENT_API_KEY": service.key,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-User": "ivan"}) as client:

        def answers() -> bool:
            assert process.poll() is None, (tmp_path / "output").read_text()
            try:
                return client.get("/openapi.json").status_code == 200
            except httpx.ConnectError:
                return False

        try:
            wait_until(answers, PATIENCE_SECONDS)
            yield client
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_SECONDS)


def test_the_example_holds_settles_streams_and_refuses(
    allotment: Allotment, application: httpx.Client
) -> None:
    stranger = application.post("/chat", json={"text": "hello"})
    allotment.add_credit("ivan", 30, 1, PAYMENT)

    answer = application.post("/chat", json={"text": "good morning to you"})
    streamed = application.post("/chat/stream", json={"text": "good night"})
    asked_nothing = application.post("/chat", json={"text": ""})
    left = application.get("/credits")
    with application.stream("POST", "/chat/stream", json={"text": "a " * 50}) as stream:
        for _ in stream.iter_text():
            break

    def settled() -> bool:
        return allotment.check_daily_allocation("ivan").credits_held == 0

    wait_until(settled, PATIENCE_SECONDS)
    assert (stranger.status_code, stranger.json()["code"]) == (402, "no_active_subscription")
    assert (answer.status_code, answer.json()["words"]) == (200, 6)
    assert answer.headers["RateLimit"] == '"credits";r=7'
    assert (streamed.text, asked_nothing.status_code) == ("you said good night ", 422)
    assert left.json() == {"remaining_credits": 17}
    assert allotment.check_daily_allocation("ivan").remaining_credits < 17
    assert len((ROOT / "examples/fastapi/app.py").read_text().splitlines()) < 100

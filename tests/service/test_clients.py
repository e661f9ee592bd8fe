"""The Python clients on the running service: same answers, typed errors, no second charge."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import ray

from actors.client import Allotment, AsyncAllotment
from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import connect
from actors.protocol.calls import Envelope, Reply
from actors.protocol.directory import even
from actors.protocol.errors import (
    DuplicatePaymentError,
    InsufficientCreditsError,
    InvalidRequestError,
    UnavailableError,
)
from actors.protocol.reports import SweepReport
from actors.remote.names import JANITOR
from actors.remote.options import NAMESPACE
from actors.remote.shards import RayShards
from actors.routing.router import Router
from actors.routing.wire import Connection
from actors.settings import Settings
from actors.shard.shard import Shard
from domain.api.answers import UsageRecordResponse
from domain.values import UserId
from tests.fakes.shards import Clock, running
from tests.patience import PATIENCE_SECONDS
from tests.seeds import SEED
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.cluster

PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
CHARGES = 200
JANITOR_SECONDS_MAX = PATIENCE_SECONDS  # Its claim, if it held one, holds for a minute.


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Allotment]:
    client = Allotment.connect(service.ray_address, timeout_seconds=30)
    yield client
    client.close()
    ray.shutdown()


def test_the_client_and_http_see_the_same_account(client: Allotment, http: httpx.Client) -> None:
    added = client.add_credit("grace", 3000, 30, PAYMENT)

    charged = client.record_usage("grace", "chat", 30, details={"tokens": 7})

    shown = client.check_daily_allocation("grace")
    over_http = http.get("/subscription/status", params={"user_id": "grace"}).json()
    assert added.subscription.daily_credit_limit == 90
    assert charged.details == {"tokens": 7}
    assert shown.remaining_credits == over_http["remaining_credits"] == 60
    assert client.get_subscriptions("grace").subscriptions[0].total_credits == 3000
    assert client.get_monthly_usage("grace", f"{shown.as_of:%Y-%m}").credit_amount == 30


def test_refusals_are_typed_exceptions_with_the_codes_of_http(client: Allotment) -> None:
    client.add_credit("edsger", 3000, 30, PAYMENT)

    with pytest.raises(InsufficientCreditsError) as short:
        client.record_usage("edsger", "chat", 91)
    with pytest.raises(DuplicatePaymentError) as twice:
        client.add_credit("edsger", 3000, 30, PAYMENT)
    with pytest.raises(InvalidRequestError):
        client.record_usage("edsger", "chat", -1)
    with pytest.raises(InvalidRequestError):
        client.check_daily_allocation("a b")

    assert short.value.code == "insufficient_credits"
    assert short.value.shortfall is not None
    assert short.value.shortfall.remaining_credits == 90
    assert twice.value.code == "duplicate_payment"


def test_a_day_is_opened_once_by_five_first_touches(
    client: Allotment, service: RunningService
) -> None:
    client.add_credit("alan", 3000, 30, PAYMENT)

    async def touch() -> None:
        shards = client.client
        await asyncio.gather(*(shards.get_or_create_daily_credits("alan") for _ in range(5)))

    client.wait(touch())

    client.get_subscriptions("alan")  # Waits until the views contain what was answered.
    with service.mongo() as mongo:
        assert mongo.allotment.dailycredits.count_documents({"user_id": "alan"}) == 1


def test_batches_keep_their_order_and_name_what_failed(client: Allotment) -> None:
    client.add_credit("frances", 3000, 30, PAYMENT)
    record = {"user_id": "frances", "service_type": "chat", "credit_amount": 40}

    answers = client.record_usages([record, record | {"credit_amount": 1.5}, record, record])

    assert [getattr(answer, "remaining_credits", None) for answer in answers] == [
        50,
        None,
        10,
        None,
    ]
    assert isinstance(answers[1], InvalidRequestError)
    assert isinstance(answers[3], InsufficientCreditsError)
    assert [s.user_id for s in client.check_daily_allocations(["frances", "nobody"])] == [
        "frances",
        "nobody",
    ]


def test_a_shard_killed_during_calls_charges_each_once(
    client: Allotment, service: RunningService
) -> None:
    client.add_credit("donald", CHARGES * 10, 1, PAYMENT)
    shard = RayShards()

    async def charge_and_kill() -> list[int]:
        allotment = client.client
        index = (await shard.directory()).owner(UserId("donald"))
        pid = (await shard.report(index)).pid
        charges = [
            asyncio.create_task(allotment.record_usage("donald", "chat", 1)) for _ in range(CHARGES)
        ]
        await charges[0]
        os.kill(pid, signal.SIGKILL)
        return [answer.credits_used for answer in await asyncio.gather(*charges)]

    used = client.wait(charge_and_kill())

    assert sorted(used) == list(range(1, CHARGES + 1))
    assert client.check_daily_allocation("donald").credits_used == CHARGES
    month = client.get_monthly_usage(
        "donald", f"{client.check_daily_allocation('donald').as_of:%Y-%m}"
    )
    assert (month.records, month.credit_amount) == (CHARGES, CHARGES)


@pytest.mark.parametrize("seed", [SEED])
def test_two_owners_of_one_user_never_let_it_over_the_limit(
    client: Allotment, service: RunningService, seed: int
) -> None:
    dice = random.Random(seed)
    client.add_credit("niklaus", 3000, 30, PAYMENT)
    index = even(1, 2).owner(UserId("niklaus"))
    database = connect(service.mongo_uri, "allotment")

    class Rivals(RayShards):
        """One shard, here, that no lease keeps from writing."""

        def __init__(self, rival: Shard) -> None:
            super().__init__()
            self.rival = rival

        async def send(self, _index: int, envelope: Envelope) -> list[Reply]:
            return await self.rival.handle(envelope)

    async def charge_both() -> list[UsageRecordResponse | BaseException]:
        store, policy = MongoStore(database), Settings(mongo_uri=service.mongo_uri).policy
        clock = Clock(datetime.now(UTC))
        rival = running(store, clock=clock, policy=policy, index=index, shards=2)
        async with rival as shard:
            other = AsyncAllotment(Router(Rivals(shard), 30), client.client.operations)
            charges = [
                owner.record_usage("niklaus", "chat", dice.randrange(1, 8))
                for _ in range(100)
                for owner in (client.client, other)
            ]
            answers = await asyncio.gather(*charges, return_exceptions=True)
            await shard.settle()
            return answers

    answers = client.wait(charge_both())

    charged = [answer for answer in answers if isinstance(answer, UsageRecordResponse)]
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    used = sum(answer.credit_amount for answer in charged)
    assert {type(error) for error in refused} == {InsufficientCreditsError}
    assert used <= 90
    month = client.get_monthly_usage("niklaus", f"{charged[0].timestamp:%Y-%m}")
    assert (month.records, month.credit_amount) == (len(charged), used)
    database.client.close()


def test_where_no_socket_reaches_a_shard_ray_carries_the_calls(
    client: Allotment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(_: object) -> Connection:
        raise ConnectionRefusedError

    monkeypatch.setattr(Connection, "open", unreachable)
    through_ray = AsyncAllotment(Router(RayShards(), timeout_seconds=30), client.client.operations)

    added = client.wait(through_ray.add_credit("radia", 3000, 30, PAYMENT))

    assert added.subscription.remaining_credits == 90
    assert client.check_daily_allocation("radia").remaining_credits == 90


def test_a_client_synchronises_validates_and_expires(client: Allotment) -> None:
    client.add_credit("katherine", 3000, 30, PAYMENT)

    one = client.sync("katherine")
    everyone = client.sync()
    report = client.validate(repair=False)
    expired = client.check_and_update_expired_subscriptions()

    assert one.checked == 1
    assert everyone.checked >= 1
    assert (report.job, report.drift) == ("sweep", 0.0)
    assert expired.job == "expire"


def test_a_janitor_that_was_killed_is_back_and_finishes_what_is_asked(client: Allotment) -> None:
    ray.kill(ray.get_actor(JANITOR, namespace=NAMESPACE), no_restart=False)

    reports: list[SweepReport] = []

    def validated() -> bool:
        with contextlib.suppress(UnavailableError):
            reports.append(client.validate(repair=False))
        return bool(reports)

    wait_until(validated, JANITOR_SECONDS_MAX)
    assert reports[0].drift == 0.0

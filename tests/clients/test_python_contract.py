"""One contract for both Python clients: the cluster's, and the one over HTTP."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clients.faces import FACES, PAYMENT, face, masked, plain, told
from tests.fakes.shards import in_loop

both = pytest.mark.parametrize("name", FACES)

PACK = PAYMENT | {"transaction_id": "t-2"}
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
RECORD = {"user_id": "ada", "service_type": "chat", "credit_amount": 1}


async def outcome(calling: Any) -> Any:
    """Return what a call answers, or what its error tells."""
    try:
        return masked(plain(await calling))
    except Exception as error:  # noqa: BLE001 - it is compared
        return told(error)


class Life:
    """A client's answers, by what was asked."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.seen: dict[str, Any] = {}

    async def see(self, what: str, calling: Any) -> None:
        self.seen[what] = await outcome(calling)

    async def buy(self) -> None:
        see, add = self.see, self.client.add_credit
        await see("nobody", self.client.check_daily_allocation("ada"))
        await see("no subscription", self.client.record_usage("ada", "chat", 1))
        await see("no payment", add("ada", 3000, 30))
        await see("bought", add("ada", 3000, 30, PAYMENT, timezone="Europe/Vienna"))
        await see("twice", add("ada", 3000, 30, PAYMENT, key="again"))
        pack = {"kind": "pack", "expires_at": NOON + timedelta(days=30), "priority": 7}
        await see("pack", add("ada", 1000, None, PACK, **pack))
        await see("pack with days", add("ada", 10, 3, PACK, kind="pack"))

    async def spend(self) -> None:
        see, use = self.see, self.client.record_usage
        await see("charged", use("ada", "chat", 30, details={"a": [1, {"ü": None}]}, key="k"))
        await see("charged at", use("ada", "chat", 1, timestamp=NOON, session_id="s"))
        await see("key reused", use("ada", "chat", 31, key="k"))
        await see("refused", use("ada", "chat", 5000))
        await see("capped", use("ada", "draw", 5000, on_insufficient="cap"))
        await see("in debt", use("ada", "draw", 50, on_insufficient="record"))
        await see("no price", use("ada", "chat", token_count=7, model_used="m"))
        tokens = {"input": 700, "cache_read": 200}
        await see("by kind", use("ada", "chat", 1, tokens=tokens, model_used="m"))
        await see("by no kind", use("ada", "chat", 1, tokens={"audio": 1}))
        await see("negative", use("ada", "chat", -1))
        await see("fraction", use("ada", "chat", 1.5))
        await see("infinite", use("ada", "chat", 1, details={"x": float("inf")}))
        await see("spoilt details", use("ada", "chat", 1, details={"x": {1, 2}}))

    async def correct(self) -> None:
        see, adjust = self.see, self.client.adjust
        await see("adjusted", adjust("ada", "for the story", remaining_credits=500))
        await see("adjusted too far", adjust("ada", "for the story", credit_amount=-5000))
        await see("adjusted by nothing", adjust("ada", "for the story"))

    async def read(self) -> None:
        see, client = self.see, self.client
        batch = [RECORD, RECORD | {"credit_amount": 1.5}, RECORD | {"credit_amount": 9999}, RECORD]
        await see("batch", client.record_usages(batch))
        await see("no batch", client.record_usages([]))
        await see("long batch", client.record_usages([RECORD] * 1001))
        await see("spaces", client.check_daily_allocation("a b"))
        await see("many", client.check_daily_allocations(["ada", "eve"]))
        await see("page", client.get_usage("ada", SINCE, UNTIL, limit=1000))
        self.seen["page"]["items"].sort(key=repr)  # The clock stands: chance has ordered them.
        await see("spoilt cursor", client.get_usage("ada", SINCE, UNTIL, cursor="?"))
        await see("month", client.get_monthly_usage("ada", "2026-03"))
        await see("no month", client.get_monthly_usage("ada", "2026-13"))
        await see("recent", client.get_recent_usage("ada"))
        await see("too many days", client.get_recent_usage("ada", 93))
        await see("subscriptions", client.get_subscriptions("ada"))
        await see("nobody's", client.get_subscriptions("org/eve?x=1"))

    async def operate(self) -> None:
        await self.see("synchronised", self.client.sync("ada"))
        await self.see("validated", self.client.validate(repair=False))
        for what in ("synchronised", "validated"):
            self.seen[what]["elapsed_ms"] = 0
        await self.see("anonymous", self.client.anonymize("ada", key="forget"))


@in_loop
async def test_both_answer_alike_in_every_turn_of_a_life() -> None:
    lives = {}
    for name in FACES:
        async with face(name) as (client, _):
            lives[name] = Life(client)
            for part in ("buy", "spend", "correct", "read", "operate"):
                await getattr(lives[name], part)()

    for what, answer in lives["cluster"].seen.items():
        assert lives["http"].seen[what] == answer, what


@both
@in_loop
async def test_a_hold_is_settled_released_and_closed(name: str) -> None:
    async with face(name) as (client, _):
        await client.add_credit("ada", 3000, 30, PAYMENT)
        hold = await client.hold("ada", "chat", 40, model_used="m", session_id="s")
        part = await client.hold("ada", "chat", 200, at_least=20)
        open_ones = await client.get_holds("ada")
        tokens = {"input": 700, "output": 200}
        settled = await client.settle(hold.hold_id, 15, tokens=tokens, key="once")
        again = await client.settle(hold.hold_id, 15, tokens=tokens, key="once")
        await client.release(part.hold_id, reason="The job hangs.", key="freed")
        without_reason = await outcome(client.release(part.hold_id, key="freed"))
        closed = [
            await outcome(client.settle(hold.hold_id, 1)),
            await outcome(client.release(part.hold_id)),
        ]
        unknown = [
            await outcome(client.settle("nonsense", 1)),
            await outcome(client.release("..")),
            await outcome(client.release("")),
            await outcome(client.reverse("ada", "nonsense", "why")),
        ]
        short = await outcome(client.hold("ada", "chat", 80))

    assert (hold.credit_amount, hold.remaining_credits, part.credit_amount) == (40, 50, 50)
    assert {one.hold_id for one in open_ones.holds} == {hold.hold_id, part.hold_id}
    assert plain(settled) == plain(again)
    assert without_reason["code"] == "idempotency_key_reused"
    assert (settled.credit_amount, settled.model_used, settled.token_count) == (15, "m", 900)
    assert (settled.tokens.input, settled.tokens.output, settled.tokens.reasoning) == (700, 200, 0)
    assert [one["code"] for one in closed] == ["hold_closed"] * 2
    assert [one["type"] for one in unknown] == ["HoldNotFoundError"] * 3 + ["UsageNotFoundError"]
    assert short["shortfall"] == {
        "limit": "daily",
        "remaining_credits": 75,
        "required_credits": 80,
        "available_at": datetime(2026, 3, 11, tzinfo=UTC),
    }


async def broken_block(client: Any) -> Any:
    """Hold for a block that fails after its report."""
    block = client.holding("ada", "chat", 40)
    with contextlib.suppress(ZeroDivisionError):
        async with block as holding:
            holding.report(20)
            raise ZeroDivisionError
    return holding


@both
@in_loop
async def test_a_block_settles_what_was_reported_and_releases_otherwise(name: str) -> None:
    async with face(name) as (client, _):
        await client.add_credit("ada", 3000, 30, PAYMENT)
        async with client.holding("ada", "chat", 40) as reported:
            inside = await client.check_daily_allocation("ada")
            reported.report(5, token_count=1)
            reported.report(15, token_count=900)
        async with client.holding("ada", "chat", 40) as silent:
            pass
        broken = await broken_block(client)
        dear = client.holding("ada", "chat", 40)
        async with dear as costly:
            costly.report(500)
        after = await client.check_daily_allocation("ada")

    assert (inside.credits_held, inside.remaining_credits) == (40, 50)
    assert reported.usage is not None
    assert (reported.usage.credit_amount, reported.usage.token_count) == (15, 900)
    assert silent.usage is broken.usage is None
    assert costly.usage is not None
    assert (costly.usage.credit_amount, costly.usage.uncovered_credits) == (75, 425)
    assert (after.credits_used, after.credits_held, after.remaining_credits) == (90, 0, 0)


@both
@in_loop
async def test_a_block_that_is_cancelled_gives_its_hold_back(name: str) -> None:
    async with face(name) as (client, _):
        await client.add_credit("ada", 3000, 30, PAYMENT)
        entered = asyncio.Event()

        async def work() -> None:
            async with client.holding("ada", "chat", 40):
                entered.set()
                await asyncio.Event().wait()

        working = asyncio.create_task(work())
        await entered.wait()
        working.cancel()
        await asyncio.wait([working])
        after = await client.check_daily_allocation("ada")

    assert working.cancelled()
    assert after.credits_held == 0


@both
@in_loop
async def test_a_charge_is_given_back_in_parts(name: str) -> None:
    async with face(name) as (client, backend):
        await client.add_credit("ada", 3000, 30, PAYMENT)
        charge = await client.record_usage("ada", "chat", 50)
        await backend.settle()
        part = await client.reverse("ada", charge.usage_id, "wrong", credit_amount=20)
        rest = await client.reverse("ada", charge.usage_id, "wrong")
        refused = await outcome(client.reverse("ada", charge.usage_id, "wrong"))

    assert (part.returned_credits, rest.returned_credits, rest.remaining_credits) == (20, 30, 90)
    assert (refused["type"], refused["code"]) == ("AlreadyReversedError", "already_reversed")


@both
@pytest.mark.parametrize("key", ["", "ü", "a" * 256, "a\nb"])
@in_loop
async def test_a_key_that_cannot_be_one_is_refused(name: str, key: str) -> None:
    async with face(name) as (client, _):
        refused = await outcome(client.record_usage("ada", "chat", 1, key=key))

    assert refused["type"] == "InvalidRequestError"

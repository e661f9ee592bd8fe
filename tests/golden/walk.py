"""A walk along every call that a client can make: what is recorded in `answers.json`.

Each user comes at an instant of their own, after those before. Left out is what is to change: a
settlement that costs more than was held and is not covered without saying `on_insufficient`, one of
a hold that has expired, and texts that list what a field may be.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from tests.golden.mistakes import mistakes
from tests.golden.serving import Served
from tests.golden.walker import BATCH, HOLDS, Walker


async def somebody_unknown(walker: Walker) -> None:
    await walker.look()
    for key in ("", None):
        await walker.use(1, key)
        await walker.hold(1, key)
    await walker.use(0)
    await walker.ask("PATCH", f"/subscriptions/{'0' * 24}", {"status": "paused"})
    await walker.settle(f"{HOLDS}/none", 1)
    await walker.ask("DELETE", f"{HOLDS}/none")


async def added_credits(walker: Walker) -> None:
    await walker.add(3000, 30, key="first")
    await walker.add(3000, 30, key="first")
    await walker.add(3001, 30, key="first")
    await walker.add(3000, 30, key="duplicate")
    await walker.add(3000, 30, key="duplicate")
    await walker.add(3000, 30, key=None)
    await walker.add(101, 7, "t-2")
    await walker.add(999, 45, "t-3", timezone="Europe/Berlin")
    await walker.add(0, 1, "t-4")
    await walker.add(2**53 - 1, 1, "t-5")
    await walker.look()


async def usage(walker: Walker) -> None:
    await walker.add(3000, 30)
    await walker.use(30, "first")
    await walker.use(30, "first")
    await walker.use(31, "first")
    details = {"b": [1, 2.5, None, True], "a": {"deep": "ü"}}
    said = {"session_id": "s-1", "details": details, "timestamp": "2026-03-01T10:00:00.5+02:00"}
    await walker.use(5, "said", token_count=1234, model_used="m-1", **said)
    await walker.use(0)
    await walker.use(1, on_insufficient="reject", service_type="image")
    await walker.use(40)
    await walker.use(80, "refused")
    await walker.use(80, "refused")
    await walker.use(80, None)
    await walker.use(5000)
    await walker.use(5, on_insufficient="record")
    await walker.use(60, on_insufficient="record")
    await walker.use(0)
    await walker.status()
    await walker.add(600, 30, "t-2")
    walker.sleep()
    await walker.status()
    await walker.use(7)
    await walker.look()


async def batch(walker: Walker) -> None:
    await walker.add(3000, 30)
    record = {"user_id": walker.user, "service_type": "chat", "credit_amount": 20}
    records = [
        record,
        record | {"idempotency_key": "own", "model_used": "m-2", "token_count": 9},
        record | {"idempotency_key": "own", "model_used": "m-2", "token_count": 9},
        record | {"idempotency_key": "own"},
        record | {"credit_amount": 90},
        record | {"credit_amount": 60, "on_insufficient": "record"},
        record | {"credit_amount": "1"},
        record | {"user_id": "stranger"},
        {"user_id": walker.user},
        7,
    ]
    await walker.ask("POST", BATCH, {"records": records}, key="batch")
    await walker.ask("POST", BATCH, {"records": records}, key="batch")
    await walker.look()


async def prices(walker: Walker) -> None:
    await walker.add(3000, 30)
    await walker.use(None, "priced", token_count=9000, model_used="m-1")
    await walker.use(None, "priced", token_count=9000, model_used="m-1")
    await walker.use(None, token_count=9000, model_used="other")
    await walker.use(None, token_count=900_000, model_used="m-1")
    await walker.use(7, token_count=9000, model_used="m-1")
    await walker.use(None)
    await walker.settle(await walker.hold(40, model_used="m-1"), None, token_count=5000)
    await walker.settle(await walker.hold(40), None, token_count=5000, model_used="m-2")
    await walker.settle(await walker.hold(10), None, model_used="m-2")
    await walker.look()


async def holds(walker: Walker) -> None:
    await walker.add(3000, 30)
    fields = {"token_count": 1, "model_used": "m-1", "session_id": "s", "details": {"a": 1}}
    full = await walker.hold(40, "placed", expires_in=600, **fields)
    await walker.hold(40, "placed", expires_in=600, **fields)
    await walker.hold(41, "placed", expires_in=600, **fields)
    await walker.hold(51)
    await walker.hold(51, None)
    await walker.hold(5000)
    await walker.get(HOLDS, user_id=walker.user)
    await walker.use(51)
    await walker.settle(full, 15, "settled", token_count=9, details={"b": 2})
    await walker.settle(full, 15, "settled", token_count=9, details={"b": 2})
    await walker.settle(full, 16, "settled")
    await walker.settle(full, 15)
    await walker.ask("DELETE", full)
    await walker.look()


async def settlements(walker: Walker) -> None:
    await walker.add(3000, 30)
    await walker.use(20)
    await walker.settle(await walker.hold(5), 5, on_insufficient="reject")
    await walker.settle(await walker.hold(5), 4, on_insufficient="record", model_used="m-9")
    await walker.settle(await walker.hold(5), 0)
    covered = await walker.hold(0, expires_in=86_400, timestamp="2026-03-02T00:00:00Z")
    await walker.settle(covered, 6, on_insufficient="reject")
    short = await walker.hold(10)
    await walker.settle(short, 100, "short", on_insufficient="reject")
    await walker.settle(short, 100, "short", on_insufficient="reject")
    await walker.settle(short, 5000, None, on_insufficient="reject")
    await walker.status()
    await walker.settle(short, 100, on_insufficient="record")
    await walker.look()


async def releases(walker: Walker) -> None:
    await walker.add(3000, 30)
    path = await walker.hold(40)
    for key in ("release", "release", "other"):
        await walker.ask("DELETE", path, key=key)
    await walker.settle(path, 1)
    await walker.hold(100, "in debt", on_insufficient="record")
    await walker.hold(0)
    await walker.look()


async def holds_over_midnight(walker: Walker) -> None:
    await walker.add(3000, 30)
    kept, freed = await walker.hold(40, expires_in=86_400), await walker.hold(20, expires_in=86_000)
    walker.sleep()
    await walker.status()
    await walker.use(1)
    await walker.get(HOLDS, user_id=walker.user)
    await walker.settle(kept, 30)
    await walker.status()
    await walker.ask("DELETE", freed)
    await walker.look()


async def hold_that_expires(walker: Walker) -> None:
    await walker.add(3000, 30)
    await walker.hold(40)
    walker.wait(seconds=299)
    await walker.status()
    walker.wait(seconds=1)
    await walker.status()
    await walker.get(HOLDS, user_id=walker.user)
    await walker.use(90)


async def statuses(walker: Walker) -> None:
    await walker.add(3000, 30)
    await walker.use(10)
    path = await walker.hold(20, expires_in=3600)
    await walker.patch(status="past_due")
    await walker.use(10)
    await walker.patch("paused", status="paused")
    await walker.patch("paused", status="paused")
    await walker.patch("paused", status="active")
    await walker.status()
    await walker.use(1)
    await walker.hold(1)
    await walker.settle(path, 5)
    await walker.add(300, 10, "t-2")
    await walker.patch(end_date="2027-01-01T00:00:00Z")
    await walker.patch(status="active", end_date="2026-12-31T23:00:00Z")
    await walker.use(1)
    await walker.patch(status="cancelled")
    await walker.status()
    await walker.use(1)
    await walker.use(0, on_insufficient="record")
    await walker.patch(status="active")
    await walker.patch(end_date="2026-01-01T00:00:00Z")
    await walker.patch(status="expired")
    await walker.status()
    await walker.look()


async def end_and_renewal(walker: Walker) -> None:
    await walker.add(100, 2, timezone="Asia/Tokyo")
    await walker.use(30)
    await walker.use(1000)
    walker.wait(days=2)
    await walker.status()
    await walker.use(1)
    await walker.ask("EXPIRE", "")
    await walker.status()
    await walker.hold(1)
    await walker.add(300, 10, "t-2")
    await walker.use(27)
    await walker.patch(status="cancelled")
    await walker.look()


async def days_and_spikes(walker: Walker) -> None:
    """Use a little on three days, much on the fourth, over the end of summer time."""
    walker.now = datetime.fromisoformat("2026-10-23T22:30:00Z")
    await walker.add(3000, 30, timezone="Europe/Berlin")
    for _day in range(4):  # Two of them are the same day, of 25 hours.
        await walker.use(10)
        walker.wait(days=1)
        await walker.status()
    await walker.use(40)
    await walker.use(280)
    await walker.add(3000, 30, "t-2")
    await walker.use(300)
    await walker.look()


async def ids(walker: Walker) -> None:
    for user in ("65F0A1B2C3D4E5F601234567", "é中😀/?#", "12"):
        walker.user = user
        await walker.add(900, 30)
        await walker.use(3)
        await walker.settle(await walker.hold(3), 2)
        await walker.look()


async def overview(walker: Walker) -> None:
    await walker.ask("EXPIRE", "")
    await walker.pages("/subscriptions", limit=4)
    for status in ("active", "expired", "cancelled"):
        await walker.get("/subscriptions", status=status)


WALKS: list[Callable[[Walker], Awaitable[None]]] = [
    *(somebody_unknown, added_credits, usage, batch, prices, holds, settlements, releases),
    *(holds_over_midnight, hold_that_expires, statuses, end_and_renewal, days_and_spikes, ids),
    *(mistakes, overview),
]


async def walk(service: Served) -> list[dict[str, Any]]:
    """Return all requests with their answers, and at last what the world was told."""
    walker = Walker(service)
    for part in WALKS:
        walker.come(part.__name__)
        await part(walker)
    return [*walker.steps, {"events": await service.events()}]

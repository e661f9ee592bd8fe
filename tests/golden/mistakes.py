"""Requests that cannot be, and callers who may not."""

from typing import Any

from tests.golden.walker import BATCH, CREDITS, HOLDS, USAGE, Walker, credits_body

PAID = credits_body("ada", 3000, 30, "t")
USED = {"user_id": "ada", "service_type": "chat", "credit_amount": 1}

WRONG: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (CREDITS, PAID, {"amount": -1}),
    (CREDITS, PAID, {"amount": 2**53}),
    (CREDITS, PAID, {"amount": None}),
    (CREDITS, PAID, {"days": 0}),
    (CREDITS, PAID, {"days": 3661}),
    (CREDITS, PAID, {"days": 1.5}),
    (CREDITS, PAID, {"payment": {"method": "card"}}),
    (CREDITS, PAID, {"timezone": "Mars/Olympus"}),
    (CREDITS, PAID, {"color": "red"}),
    (CREDITS, PAID, {"user_id": "a b"}),
    (CREDITS, {}, {"user_id": "ada", "amount": 1, "payment": PAID["payment"]}),
    (CREDITS, {}, {}),
    (USAGE, USED, {"credit_amount": 1.5}),
    (USAGE, USED, {"credit_amount": True}),
    (USAGE, USED, {"credit_amount": "1"}),
    (USAGE, USED, {"credit_amount": 2**53}),
    (USAGE, USED, {"service_type": ""}),
    (USAGE, USED, {"token_count": -1}),
    (USAGE, USED, {"details": []}),
    (USAGE, USED, {"timestamp": "yesterday"}),
    (USAGE, USED, {"color": "red", "user_id": 7}),
    (USAGE, {}, {}),
    (HOLDS, USED, {"expires_in": 0}),
    (HOLDS, USED, {"expires_in": 86_401}),
    (HOLDS, USED, {"credit_amount": None}),
    (HOLDS, {}, {}),
    (f"{HOLDS}/none/settle", {}, {"credit_amount": -1}),
    (f"{HOLDS}/none/settle", USED, {}),
    (f"{HOLDS}/none/settle", {}, {}),
    (BATCH, {}, {}),
    (BATCH, {}, {"records": []}),
    (BATCH, {}, {"records": 1}),
]


async def mistakes(walker: Walker) -> None:
    for path, right, wrong in WRONG:
        await walker.ask("POST", path, right | wrong)
    await walker.add(3000, 30)
    for change in ({"status": "odd"}, {"end_date": "tomorrow"}, {"total_credits": 5}):
        await walker.patch(**change)
    await walker.use(1, "a" * 256)
    for path in (
        "/subscription/status",
        "/subscription/status?user_id=a%20b",
        f"{USAGE}?user_id=ada&cursor=odd",
        f"{USAGE}?user_id=ada&limit=0",
        f"{USAGE}/monthly?user_id=ada&month=2026-13",
        "/subscriptions?status=odd",
        "/nothing",
    ):
        await walker.get(path)
    await walker.ask("DELETE", "/subscription/status")
    for caller in (None, "READ"):
        await walker.ask("POST", USAGE, {"user_id": "ada"}, by=caller)
        await walker.ask("GET", "/subscriptions", by=caller)
        await walker.ask("GET", "/subscription/status?user_id=ada", by=caller)

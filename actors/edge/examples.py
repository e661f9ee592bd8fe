"""One example of every body of the interface, by the name of its schema."""

from typing import Any

from actors.edge.operator_examples import REPORTS
from actors.edge.problem_examples import problem

STATUS: dict[str, Any] = {
    "user_id": "ada",
    "subscription_id": "69aff0a08b3f0c1d5e6f7a8b",
    "status": "active",
    "timezone": "UTC",
    "start_date": "2026-03-10T12:00:00Z",
    "end_date": "2026-04-09T00:00:00Z",
    "days_remaining": 30,
    "total_credits": 3000,
    "system_portion": 300,
    "spendable_credits": 2700,
    "date": "2026-03-10T00:00:00Z",
    "daily_credit_limit": 90,
    "credits_rolled_over": 0,
    "credits_used": 30,
    "credits_held": 0,
    "day_remaining_credits": 60,
    "pack_credits": 1000,
    "remaining_credits": 1060,
    "low_credits": False,
    "resets_at": "2026-03-11T00:00:00Z",
    "as_of": "2026-03-10T12:00:00Z",
}
PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
CHARGE: dict[str, Any] = {"user_id": "ada", "service_type": "chat", "credit_amount": 30}
KEPT: dict[str, Any] = {
    "usage_id": "69aff0a14c2d1e0f9a8b7c6d",
    "user_id": "ada",
    "subscription_id": "69aff0a08b3f0c1d5e6f7a8b",
    "service_type": "chat",
    "credit_amount": 30,
    "token_count": 1200,
    "model_used": "small-2",
    "session_id": "s-9",
    "details": {"prompt": "greeting"},
    "timestamp": "2026-03-10T12:00:01Z",
}
BY_TOKENS: dict[str, Any] = {"model_used": "small-2", "token_count": 1200}
PRICE: dict[str, Any] = {
    "service": "chat",
    "model": "small-*",
    "credits_per_unit": "25",
    "unit_size": 1000,
    "effective_from": None,
    "effective_until": None,
}
DAY = {
    "date": "2026-03-10T00:00:00Z",
    "daily_credit_limit": 90,
    "credits_used": 30,
    "credits_held": 0,
    "remaining_credits": 1060,
    "low_credits": False,
}
PACK_ID = "69aff0a0b1c2d3e4f5a6b7c8"
SOURCES: list[dict[str, Any]] = [
    {"source": "day", "date": "2026-03-10T00:00:00Z", "credit_amount": 30}
]
CHARGED: dict[str, Any] = {"sources": SOURCES, "uncovered_credits": 0, "late": False}
PACK = {
    "pack_id": PACK_ID,
    "user_id": "ada",
    "amount": 1111,
    "system_portion": 111,
    "spendable_credits": 1000,
    "credits_used": 0,
    "credits_held": 0,
    "remaining_credits": 1000,
    "lapsed_credits": 0,
    "taken_back_credits": 0,
    "category": "paid",
    "priority": 50,
    "created_at": "2026-03-10T12:00:00Z",
    "expires_at": None,
    "payment": PAYMENT | {"transaction_id": "t-2"},
}
GRANT = {
    "grant_id": "69aff0a0d4c3b2a190817263",
    "amount": 3000,
    "system_portion": 300,
    "spendable_credits": 2700,
    "voided_credits": 0,
    "from_day": "2026-03-10",
    "days": 30,
    "transaction_id": "t-1",
}
SUBSCRIPTION: dict[str, Any] = {
    name: STATUS[name]
    for name in ("subscription_id", "user_id", "status", "timezone", "start_date", "end_date")
} | {
    "total_credits": 3000,
    "system_portion": 300,
    "spendable_credits": 2700,
    "grants": [GRANT],
    "stripe": None,
}
SUMS = {"records": 1, "credit_amount": 30, "reversed_credits": 0, "token_count": 1200}


MORE_EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "AddCreditBody": [
        {
            "user_id": "ada",
            "amount": 1111,
            "kind": "pack",
            "expires_at": "2027-03-10T00:00:00Z",
            "payment": PAYMENT | {"transaction_id": "t-2"},
        }
    ],
    "AdjustCreditsBody": [{"user_id": "ada", "remaining_credits": 500, "reason": "A wish."}],
    "PlaceHoldBody": [CHARGE | {"credit_amount": 500, "at_least": 50}],
    "RecordUsageBody": [{"user_id": "ada", "service_type": "chat"} | BY_TOKENS],
    "BatchedUsageBody": [{"user_id": "ada", "service_type": "chat"} | BY_TOKENS],
    "SettleHoldBody": [BY_TOKENS],
    "ChangeSubscriptionBody": [
        {"timezone": "Europe/Berlin", "reason": "The user has moved to Berlin."}
    ],
}
"""What a body may say besides, such as tokens where there is a price list."""
HOLD_ID = "69aff0a14c2d1e0f9a8b7c6d.YWRh.5d41402a"
EXAMPLES: dict[str, dict[str, Any]] = {
    "PlaceHoldBody": CHARGE | {"credit_amount": 40, "expires_in": 120},
    "SettleHoldBody": {"credit_amount": 30, "token_count": 1200},
    "HoldResponse": {
        "hold_id": HOLD_ID,
        "user_id": "ada",
        "credit_amount": 40,
        "expires_at": "2026-03-10T12:02:00Z",
        "remaining_credits": 1050,
    },
    "OpenHolds": {
        "user_id": "ada",
        "credits_held": 40,
        "holds": [
            {
                "hold_id": HOLD_ID,
                "subscription_id": "69aff0a08b3f0c1d5e6f7a8b",
                "credit_amount": 40,
                "sources": [SOURCES[0] | {"credit_amount": 40}],
                "made_at": "2026-03-10T12:00:00Z",
                "expires_at": "2026-03-10T12:02:00Z",
                "date": "2026-03-10T00:00:00Z",
                "service_type": "chat",
                "token_count": None,
                "model_used": None,
                "session_id": None,
                "details": None,
            }
        ],
    },
    "AddCreditBody": {"user_id": "ada", "amount": 3000, "days": 30, "payment": PAYMENT},
    "RecordUsageBody": CHARGE | {"token_count": 1200, "model_used": "small-2"},
    "BatchedUsageBody": CHARGE | {"idempotency_key": "job-17"},
    "RecordUsagesBody": {"records": [CHARGE | {"idempotency_key": "job-17"}]},
    "ChangeSubscriptionBody": {"status": "paused"},
    "SyncBody": {"user_id": "ada"},
    "ReshardBody": {"shards": 8},
    "MakeKeyBody": {
        "name": "shop",
        "scope": "write",
        "expires_in": 7_776_000,
        "user_id_prefix": "org7/",
        "services": ["chat"],
    },
    "RotateKeyBody": {"overlap": 86_400},
    "AnonymizeBody": {"mode": "anonymize"},
    "ValidateBody": {"repair": False},
    "Taken": {"received": True, "repeated": False},
    "Progress": {"running": True, "kind": "invoices", "checked": 1200, "differed": 3},
    "TestClockBody": {"now": "2026-04-09T00:00:00Z"},
    "CreditStatusResponse": STATUS,
    "CreditAdditionResponse": {
        "grant_id": "69aff0a0d4c3b2a190817263",
        "created": True,
        "renewed": False,
        "amount": 3000,
        "system_portion": 300,
        "spendable_credits": 2700,
        "days": 30,
        "payment": PAYMENT,
        "subscription": STATUS
        | {
            "credits_used": 0,
            "day_remaining_credits": 90,
            "pack_credits": 0,
            "remaining_credits": 90,
        },
        "kind": "daily",
        "pack_id": None,
        "expires_at": None,
    },
    "PackRecord": PACK,
    "ReverseUsageBody": {"credit_amount": 10, "reason": "The job has failed."},
    "ReversalResponse": {
        "reversal_id": "69aff0a2c3d4e5f60718293a",
        "usage_id": KEPT["usage_id"],
        "user_id": "ada",
        "credit_amount": 10,
        "returned_credits": 10,
        "lapsed_credits": 0,
        "reversed_credits": 10,
        "remaining_credits": 1070,
        "low_credits": False,
        "as_of": "2026-03-10T12:05:00Z",
    },
    "AdjustCreditsBody": {"user_id": "ada", "credit_amount": 50, "reason": "An apology."},
    "AdjustmentResponse": {
        "adjustment_id": "69aff0a3d4e5f60718293a4b",
        "user_id": "ada",
        "credit_amount": 50,
        "sources": [],
        "pack_id": PACK_ID,
        "remaining_credits": 1110,
        "as_of": "2026-03-10T12:06:00Z",
    },
    "UsageRecordResponse": KEPT | DAY | CHARGED,
    "BatchResponse": {
        "results": [
            {"status": 201, "record": KEPT | DAY | CHARGED},
            {
                "status": 402,
                "problem": problem(
                    "no_active_subscription", 402, "The user has no subscription that may spend"
                ),
            },
        ]
    },
    "UsagePage": {
        "items": [KEPT | CHARGED | {"price": PRICE, "reversed_credits": 0}],
        "next_cursor": None,
    },
    "PriceRecord": PRICE,
    "MonthlyUsage": {"user_id": "ada", "month": "2026-03"}
    | SUMS
    | {"by_service": {"chat": SUMS}, "by_model": {"small-2": SUMS}, "by_day": {"2026-03-10": SUMS}},
    "SubscriptionRecord": SUBSCRIPTION,
    "UserSubscriptions": {"user_id": "ada", "subscriptions": [SUBSCRIPTION], "packs": [PACK]},
    "SubscriptionPage": {"items": [SUBSCRIPTION], "next_cursor": None},
    "HistoryPage": {
        "user_id": "ada",
        "items": [
            {
                "seq": 2,
                "at": "2026-03-10T12:00:01Z",
                "by": "key:1a2b3c4d",
                "kind": "usage_recorded",
                "idempotency_key": "job-17",
                "change": {"usage_id": KEPT["usage_id"], "credit_amount": 30},
                "unreadable": None,
                "answer": KEPT | DAY | CHARGED,
            }
        ],
        "next_cursor": "2",
    },
    "Health": {"status": "ok"},
    "NotReady": problem(
        "storage_unavailable", 503, "The service waits for: database", missing=["database"]
    ),
    "InsufficientCredits": problem(
        "insufficient_credits",
        402,
        "The remaining credits do not cover the charge",
        limit="daily",
        remaining_credits=10,
        required_credits=30,
        available_at="2026-03-11T00:00:00Z",
    ),
    "InvalidRequest": problem(
        "invalid_request",
        422,
        "The request is not valid",
        errors=[{"field": "credit_amount", "message": "Input should be a valid integer"}],
    ),
    **REPORTS,
}

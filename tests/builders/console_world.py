"""What a service of some size tells its console: every page has rows, as they are of a day at noon."""

import itertools
from datetime import timedelta
from typing import Any

from tests.builders.authors import NOON
from tests.fakes.http_service import EXAMPLES, HttpService

Row = dict[str, Any]
NAMES = ("ada", "grace", "katherine", "radia", "barbara", "frances", "hedy", "joan", "mary")
STATUSES = ("active", "active", "past_due", "active", "paused", "active", "cancelled", "expired")
SERVICES = {"chat": 61, "search": 22, "images": 40}
MODELS = {"large-8": 74, "small-9": 49}


def ago(**time: float) -> str:
    """Return an instant before noon as the interface spells it."""
    return (NOON - timedelta(**time)).isoformat().replace("+00:00", "Z")


def ahead(**time: float) -> str:
    return ago(**{unit: -count for unit, count in time.items()})


def fill(service: HttpService) -> HttpService:
    """Have a service answer with it."""
    service.answers |= _overview() | _user() | _lists() | _access()
    return service


def _first(model: str, part: str = "items") -> Row:
    row: Row = EXAMPLES[model][part][0]
    return row


def _page(rows: list[Row], cursor: str | None = None) -> Row:
    return {"items": rows, "next_cursor": cursor}


def _overview() -> dict[tuple[str, str], Any]:
    looks = itertools.count()
    sweeps = [
        EXAMPLES["SweepReport"]
        | {"started_at": ago(minutes=5 * number), "checked": 48_000, "drift": drift}
        | {"stale": round(drift * 48_000), "repaired": round(drift * 48_000)}
        | ({"users": ["radia"]} if drift else {})
        for number, drift in enumerate([0.0, 0.0, 1 / 48_000, 0.0, 4 / 48_000, 0.0, 0.0, 0.0])
    ]
    reshard = EXAMPLES["ReshardReport"] | {
        "running": True,
        "slots": 2048,
        "moved": 1310,
        "shards": 8,
        "shards_before": 4,
        "started_at": ago(minutes=4),
    }
    return {
        ("GET", "/admin/shards"): lambda: _shards(next(looks)),
        ("GET", "/admin/sweeps"): sweeps,
        ("GET", "/admin/reshard"): reshard,
        ("GET", "/admin/events"): _events(),
        ("GET", "/admin/endpoints"): _endpoints(),
    }


def _shards(look: int) -> list[Row]:
    """Return reports whose sums grow from look to look."""
    return [
        EXAMPLES["ShardReport"]
        | {"shard": f"shard-00{number}", "users": 48_000 + 731 * number, "pid": 4242 + number}
        | {"node_id": "6f1e02aa" if number < 2 else "b07c41d9", "refusals": 1200 + 3 * look}
        | {
            "writes": 61_000 + 977 * number + 300 * look + 40 * (look % 3),
            "reads": 95_000 + 900 * look,
            "charges": 57_000 + 290 * look + 40 * (look % 3),
            "credits_charged": 1_610_000 + 8_700 * look,
        }
        | {"holds_open": 12, "credits_held": 4800, "uptime_seconds": 91_000.0}
        for number in range(4)
    ]


def _events() -> Row:
    endpoint: Row = EXAMPLES["EventsReport"]["endpoints"][0]
    example: Row = EXAMPLES["EventsReport"]["undelivered"][0]
    waiting = example | {"created": ago(minutes=2)}
    dead = example | {"died_at": ago(hours=3), "redelivering": False, "attempts": 12}
    dead |= {"created": ago(hours=30)}
    return EXAMPLES["EventsReport"] | {
        "head": 18_204,
        "undelivered_count": 2,
        "dead_count": 2,
        "endpoints": [
            endpoint | {"delivered": 18_190, "undelivered": 0, "last_error": None, "failures": 2},
            endpoint
            | {"endpoint": EXAMPLES["EndpointRecord"]["endpoint"], "delivered": 912, "failures": 0}
            | {"undelivered": 0, "last_error": None, "last_success_at": ago(seconds=40)},
            endpoint
            | {"endpoint": "webhook billing", "healthy": False, "failures": 31, "dead": 2}
            | {"undelivered": 2, "last_error": "the endpoint answers 503"}
            | {"last_success_at": ago(hours=2), "failures_in_a_row": 9},
        ],
        "undelivered": [
            waiting | {"endpoint": "webhook billing", "user_id": name, "id": f"evt_{number:032x}"}
            for number, name in enumerate(("grace", "hedy"), 1)
        ],
        "dead": [
            dead
            | {"endpoint": "webhook billing", "id": f"evt_{number:032x}", "redelivering": again}
            for number, again in ((7, False), (8, True))
        ],
        "stripe": [
            {
                "id": f"evt_1Q{state}",
                "type": "invoice.paid",
                "subject": f"in_1Q{state}",
                "state": state,
                "parked": state == "received",
                "attempts": 3,
                "last_error": "no user has this customer",
                "received_at": ago(hours=2),
            }
            for state in ("dead", "received")
        ],
    }


def _endpoints() -> list[Row]:
    one = EXAMPLES["EndpointRecord"]
    return [
        one
        | {"endpoint_id": "env_90b1c7e2d5a4f386", "source": "environment", "events": []}
        | {"endpoint": "webhook billing", "address": "https://billing.example/allotment"},
        one,
        one
        | {"endpoint_id": "ep_c41d9b07a2e65f18", "endpoint": "endpoint ep_c41d9b07a2e65f18"}
        | {"address": "https://mail.example/hook", "enabled": False},
    ]


def _user() -> dict[tuple[str, str], Any]:
    owned, status = EXAMPLES["UserSubscriptions"], EXAMPLES["CreditStatusResponse"]
    pack, record = owned["packs"][0], _first("UsagePage")
    kinds = ("usage_recorded", "hold_freed", "credits_adjusted", "command_refused", "credits_added")
    told = {"credits_adjusted": {"reason": "An outage on Monday"}}
    return {
        ("GET", "/subscription/status"): status
        | {"daily_credit_limit": 90, "credits_rolled_over": 12, "credits_used": 48}
        | {"credits_held": 14, "day_remaining_credits": 40, "remaining_credits": 1360}
        | {"pack_credits": 1320},
        ("GET", "/subscriptions/ada"): owned
        | {
            "packs": [
                pack | {"expires_at": ahead(days=3), "remaining_credits": 320},
                pack | {"pack_id": "69aff0a0b1c2d3e4f5a6b7c9", "category": "promotional"},
            ]
        },
        ("GET", "/subscription/usage"): _page(
            [
                record
                | {"timestamp": ago(hours=2 * number), "service_type": service, "model_used": model}
                | ({"usage_id": f"69aff0a14c2d1e0f9a8b7c{number:02x}"} if number else {})
                | {"credit_amount": 7 + number, "reversed_credits": 9 if number == 2 else 0}
                | {"sources": [{"source": "day", "credit_amount": 7 + number}]}
                for number, (service, model) in enumerate(
                    zip(SERVICES, [*MODELS, None], strict=True)
                )
            ],
            "more",
        ),
        ("GET", "/subscription/usage/recent"): _recent(),
        ("GET", "/subscriptions/ada/history"): _page(
            [
                _first("HistoryPage")
                | {"seq": 40 - number, "kind": kind, "at": ago(hours=3 * number)}
                | {"change": told.get(kind, {"credit_amount": 12})}
                for number, kind in enumerate(kinds)
            ],
            "more",
        ),
    }


def _recent() -> Row:
    sums = EXAMPLES["RecentUsage"]["by_day"]
    one: Row = next(iter(sums.values()))
    days = {
        ago(days=back)[:10]: one | {"credit_amount": 20 + (back * 37) % 61} for back in range(30)
    }
    return EXAMPLES["RecentUsage"] | {
        "by_day": days,
        "by_service": {name: _used(one, part) for name, part in SERVICES.items()},
        "by_model": {name: _used(one, part) for name, part in MODELS.items()},
    }


def _used(sums: Row, part: int) -> Row:
    return sums | {"credit_amount": 12 * part, "records": 2 * part, "token_count": 960 * part}


def _lists() -> dict[tuple[str, str], Any]:
    subscription, refusal = _first("SubscriptionPage"), _first("RefusalPage")
    price: Row = EXAMPLES["PriceListRecord"]["prices"][0]
    rates = {"input": "300", "output": "1500", "cache_read": "30", "cache_write": "375"}
    return {
        ("GET", "/subscriptions"): _page(
            [
                subscription
                | {"user_id": name, "status": status, "subscription_id": f"69aff0a08b3f0c1d{n:08x}"}
                | {"spendable_credits": 2700 + 300 * n}
                for n, (name, status) in enumerate(zip(NAMES, STATUSES, strict=False))
            ],
            "more",
        ),
        ("GET", "/admin/users"): EXAMPLES["RankedUsers"]
        | {"users": 192_731, "looked_at": 192_731, "as_of": ago(seconds=4)}
        | {"items": sorted(map(_left, range(len(NAMES))), key=lambda o: o["remaining_credits"])},
        ("GET", "/admin/refusals"): _page(
            [
                refusal
                | {"user_id": name, "at": ago(minutes=7 * n), "idempotency_key": f"job-{480 - n}"}
                | {"required_credits": 80 + 15 * n}
                for n, name in enumerate(NAMES[:5])
            ]
            + [
                refusal
                | {"user_id": "hedy", "reason": "no_such_usage", "limit": None, "at": ago(hours=2)}
                | {"required_credits": None, "remaining_credits": None, "available_at": None}
            ],
            "more",
        ),
        ("GET", "/admin/prices"): {
            "prices": [
                price
                | {"service": "*", "model": "large-*", "credits_per_unit": "1500"}
                | {"unit_size": 1_000_000, "by_kind": rates | {"reasoning": "1500"}},
                price | {"service": "chat", "effective_from": ago(days=9), "by_kind": None},
                price
                | {"service": "render-*", "model": None, "credits_per_unit": "3", "by_kind": None},
            ]
        },
    }


def _left(number: int) -> Row:
    """Return the status of a user."""
    left, packs = 3 * number - 2, (0, 0, 14)[number % 3]
    return EXAMPLES["CreditStatusResponse"] | {
        "user_id": NAMES[number],
        "daily_credit_limit": 90,
        "credits_rolled_over": 4 * (number % 2),
        "credits_used": 90 + 4 * (number % 2) - left,
        "credits_held": 0,
        "pack_credits": packs,
        "remaining_credits": left + packs,
        "low_credits": left + packs < 19,
        "resets_at": ahead(hours=12),
    }


def _access() -> dict[tuple[str, str], Any]:
    key, act = _first("KeyPage"), _first("ActPage")
    none = {"user_id_prefix": None, "services": None, "expires_at": None}
    keys = [
        key | none | {"name": "ops", "scope": "admin", "prefix": "allot_the-op"},
        key | {"key_id": "77ab01ce", "last_used_at": ago(seconds=4)},
        key | none | {"key_id": "91c2a7d0", "name": "reports", "scope": "read"},
        key | none | {"key_id": "0c91ab5f", "name": "old shop", "revoked_at": ago(days=2)},
        key | {"key_id": "ab5f0c91", "name": "trial", "expires_at": ago(hours=5)},
    ]
    acts = [
        act | {"at": ago(minutes=11), "action": "POST /admin/keys", "made": "77ab01ce"},
        act | {"at": ago(minutes=40), "outcome": "refused", "made": None},
        act
        | {"at": ago(hours=4), "by": "command:ops", "action": "keys revoke", "target": "0c91ab5f"}
        | {"made": None},
        act
        | {"at": ago(hours=9), "action": "POST /subscription/adjustments", "user_id": "ada"}
        | {"target": None, "made": None},
    ]
    return {("GET", "/admin/keys"): _page(keys), ("GET", "/admin/audit"): _page(acts, "more")}

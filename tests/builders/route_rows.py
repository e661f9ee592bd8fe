"""Every route as it is called for a user without anything, and who may call it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.fakes.edge import CREDITS, USAGE

OPEN, OWN, WRITE, ADMIN, FOLLOW = "open", "own", "write", "admin", "follow"
SHARE = "share"  # A user's own, and a key's that may write.


class Row(NamedTuple):
    """One route as it is called for ada, and who may call it."""

    method: str
    path: str
    route: str
    access: str
    body: Mapping[str, Any] | None = None
    answers: int = 200
    """What those who may call it are answered."""


HOLD = {"user_id": "ada", "credit_amount": 4}
GIVEN = {"user_id": "ada", "credit_amount": 4, "reason": "An apology."}
ENDPOINT, ONE_ENDPOINT = {"url": "https://crm.example/hook"}, "/admin/endpoints/{endpoint_id}"
ROWS = [
    Row("GET", "/healthz", "/healthz", OPEN),
    Row("GET", "/readyz", "/readyz", OPEN),
    Row("GET", "/openapi.json", "/openapi.json", OPEN),
    Row("GET", "/docs", "/docs", OPEN),
    Row("GET", "/portal", "/portal", OPEN),
    Row("GET", "/embed/allotment.js", "/embed/{name}", OPEN),
    Row("GET", "/docs/swagger-ui.css", "/docs/{name}", OPEN),
    Row("GET", "/subscription/status?user_id=ada", "/subscription/status", OWN),
    Row("GET", "/subscription/usage?user_id=ada", "/subscription/usage", OWN),
    Row(
        "GET",
        "/subscription/usage/monthly?user_id=ada&month=2026-03",
        "/subscription/usage/monthly",
        OWN,
    ),
    Row("GET", "/subscription/usage/recent?user_id=ada", "/subscription/usage/recent", OWN),
    Row("GET", "/subscriptions/ada", "/subscriptions/{id}", OWN),
    Row("POST", "/subscription/credits", "/subscription/credits", WRITE, CREDITS, 201),
    Row("POST", "/subscription/usage", "/subscription/usage", WRITE, USAGE, 402),
    Row("POST", "/subscription/usage/batch", "/subscription/usage/batch", WRITE, {"records": [1]}),
    Row(
        "POST",
        "/subscription/usage/none/reversals",
        "/subscription/usage/{usage_id}/reversals",
        WRITE,
        {"reason": "it failed"},
        404,
    ),
    Row(
        "POST",
        "/subscription/adjustments",
        "/subscription/adjustments",
        ADMIN,
        {"user_id": "ada", "credit_amount": 5, "reason": "an apology"},
        201,
    ),
    Row("GET", "/subscription/holds?user_id=ada", "/subscription/holds", OWN),
    Row("POST", "/subscription/holds", "/subscription/holds", WRITE, HOLD, 402),
    Row(
        "POST",
        "/subscription/holds/none/settle",
        "/subscription/holds/{hold_id}/settle",
        WRITE,
        {"credit_amount": 1},
        404,
    ),
    Row("DELETE", "/subscription/holds/none", "/subscription/holds/{hold_id}", WRITE, None, 404),
    Row(
        "POST",
        f"/subscription/usage/{'a' * 24}/reversals",
        "/subscription/usage/{usage_id}/reversals",
        WRITE,
        {"reason": "The job has failed."},
        404,
    ),
    Row("POST", "/subscription/adjustments", "/subscription/adjustments", ADMIN, GIVEN, 201),
    Row("GET", "/subscriptions", "/subscriptions", ADMIN),
    Row("GET", "/subscriptions/ada/history", "/subscriptions/{user_id}/history", ADMIN),
    Row(
        "PATCH",
        "/subscriptions/none",
        "/subscriptions/{id}",
        ADMIN,
        {"status": "paused"},
        404,
    ),
    Row("GET", "/events?user_id=ada&after=evt_none", "/events", FOLLOW, None, 422),
    Row("POST", "/events/token", "/events/token", SHARE, {"user_id": "ada"}, 201),
    Row("GET", "/admin/events", "/admin/events", ADMIN),
    Row(
        "POST",
        "/admin/events/evt_none/redeliver",
        "/admin/events/{id}/redeliver",
        ADMIN,
        None,
        404,
    ),
    Row("DELETE", "/users/ada", "/users/{user_id}", ADMIN, {"mode": "anonymize"}),
    Row("GET", "/admin/anonymizations", "/admin/anonymizations", ADMIN),
    Row("POST", "/admin/sync", "/admin/sync", ADMIN, {}),
    Row("POST", "/admin/validate", "/admin/validate", ADMIN, {}),
    Row("POST", "/admin/reshard", "/admin/reshard", ADMIN, {"shards": 2}),
    Row("GET", "/admin/reshard", "/admin/reshard", ADMIN),
    Row("GET", "/admin/sweeps", "/admin/sweeps", ADMIN),
    Row("GET", "/admin/shards", "/admin/shards", ADMIN),
    Row("GET", "/admin/sync", "/admin/sync", ADMIN),
    Row("GET", "/admin/events", "/admin/events", ADMIN),
    Row("GET", "/admin/stripe/reconcile", "/admin/stripe/reconcile", ADMIN),
    Row("POST", "/admin/stripe/reconcile", "/admin/stripe/reconcile", ADMIN, None, 404),
    Row("GET", "/admin/audit", "/admin/audit", ADMIN),
    Row("GET", "/admin/refusals", "/admin/refusals", ADMIN),
    Row("GET", "/admin/users", "/admin/users", ADMIN),
    Row("GET", "/admin/prices", "/admin/prices", ADMIN),
    Row("GET", "/admin/keys", "/admin/keys", ADMIN),
    Row("POST", "/admin/keys", "/admin/keys", ADMIN, {"name": "shop", "scope": "read"}, 201),
    Row("POST", "/admin/keys/none/rotate", "/admin/keys/{key_id}/rotate", ADMIN, None, 404),
    Row("DELETE", "/admin/keys/none", "/admin/keys/{key_id}", ADMIN, None, 404),
    Row("GET", "/admin/settings", "/admin/settings", ADMIN),
    Row("PATCH", "/admin/settings", "/admin/settings", ADMIN, {"cors_origins": []}),
    Row("GET", "/admin/endpoints", "/admin/endpoints", ADMIN),
    Row("POST", "/admin/endpoints", "/admin/endpoints", ADMIN, ENDPOINT, 201),
    *(
        Row(method, f"/admin/endpoints/none{act}", f"{ONE_ENDPOINT}{act}", ADMIN, body, 404)
        for method, act, body in [
            ("PATCH", "", {"enabled": False}),
            ("DELETE", "", None),
            ("POST", "/rotate", None),
            ("POST", "/test", None),
        ]
    ),
    Row("POST", "/stripe/webhook", "/stripe/webhook", OPEN, None, 400),
    Row(
        "PUT",
        "/admin/test-clock",
        "/admin/test-clock",
        ADMIN,
        {"now": "2027-01-01T00:00:00Z"},
        404,
    ),
]

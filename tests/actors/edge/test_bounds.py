"""What of a request, and of the answer to a list, is bounded: each at its bound and one past it."""

from typing import Any

import pytest

from actors.auth.limits import SERVICE_LENGTH_MAX, SERVICES_MAX
from actors.edge import turns
from actors.edge.gate import CONTAINERS_MAX
from actors.edge.key_bodies import OVERLAP_SECONDS_MAX
from actors.edge.problems import ERRORS_MAX, SAID_LENGTH_MAX
from actors.edge.routes import stripe_webhook
from actors.edge.routes.audit import BY_LENGTH_MAX
from actors.edge.routes.events import EVENT_ID_LENGTH_MAX
from actors.edge.routes.keys import KEY_ID_LENGTH_MAX
from actors.edge.routes.lookups import CURSOR_LENGTH_MAX as REFUSALS_CURSOR_LENGTH_MAX
from actors.edge.routes.subscription import CURSOR_LENGTH_MAX as USAGE_CURSOR_LENGTH_MAX
from actors.edge.routes.subscriptions import CURSOR_LENGTH_MAX
from actors.protocol.queries import RECENT_DAYS_MAX
from domain.api.requests import FIELDS_MAX, TEXT_LENGTH_MAX
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop

JSON = {"Content-Type": "application/json"}
PAGES = [
    "/subscription/usage?user_id=ada&limit=",
    "/subscriptions?limit=",
    "/subscriptions/ada/history?limit=",
    "/admin/keys?limit=",
    "/admin/audit?limit=",
    "/admin/refusals?limit=",
    "/admin/users?limit=",
    "/admin/sweeps?limit=",
    "/admin/anonymizations?limit=",
]


@pytest.mark.parametrize("path", PAGES)
@in_loop
async def test_a_page_is_no_longer_than_this(path: str) -> None:
    async with edge() as (http, _):
        statuses = [(await http.get(path + str(limit))).status_code for limit in (1000, 1001, 0)]

    assert statuses == [200, 422, 422]


@in_loop
async def test_a_sum_is_of_no_more_days_than_this() -> None:
    path = "/subscription/usage/recent?user_id=ada&days="
    async with edge() as (http, _):
        longest = RECENT_DAYS_MAX
        statuses = [
            (await http.get(f"{path}{days}")).status_code for days in (longest, longest + 1)
        ]

    assert statuses == [200, 422]


@pytest.mark.parametrize(
    ("path", "longest"),
    [
        ("/subscription/usage?user_id=ada&cursor=", USAGE_CURSOR_LENGTH_MAX),
        ("/subscriptions?cursor=", CURSOR_LENGTH_MAX),
        ("/events?user_id=ada&after=", EVENT_ID_LENGTH_MAX),
        ("/admin/keys?cursor=", KEY_ID_LENGTH_MAX),
        ("/admin/audit?by=", BY_LENGTH_MAX),
        ("/admin/refusals?cursor=", REFUSALS_CURSOR_LENGTH_MAX),
    ],
)
@in_loop
async def test_what_a_query_says_is_no_longer_than_this(path: str, longest: int) -> None:
    async with edge() as (http, _):
        answer = await http.get(path + "x" * (longest + 1))

    assert answer.status_code == 422
    assert f"at most {longest} characters" in answer.json()["detail"]


@in_loop
async def test_open_holds_are_read_in_turns_like_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be 500 with 16 KiB of details each: nobody asks for more than a few at once."""
    monkeypatch.setattr(turns, "LISTS_AT_ONCE", 0)
    monkeypatch.setattr(turns, "WAIT_SECONDS_MAX", 0.01)
    async with edge() as (http, _):
        answer = await http.get("/subscription/holds?user_id=ada")

    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")


@in_loop
async def test_a_body_of_too_many_lists_is_refused() -> None:
    body = b'{"records": [' + b"[]," * CONTAINERS_MAX + b"[]]}"
    async with edge() as (http, _):
        answer = await http.post("/subscription/usage/batch", content=body, headers=JSON)

    assert answer.status_code == 422
    assert f"more than {CONTAINERS_MAX} lists" in answer.json()["detail"]


@in_loop
async def test_a_body_of_too_many_fields_is_refused_without_naming_them() -> None:
    body = CREDITS | {f"f{n}": 1 for n in range(FIELDS_MAX)}
    async with edge() as (http, _):
        answer = await http.post("/subscription/credits", json=body)

    assert answer.status_code == 422
    assert [error["message"] for error in answer.json()["errors"]] == [
        f"a body has at most {FIELDS_MAX} fields"
    ]


@in_loop
async def test_an_answer_names_so_many_errors() -> None:
    body = USAGE | {f"f{n}": 1 for n in range(3 * ERRORS_MAX)}
    async with edge() as (http, _):
        answer = await http.post("/subscription/usage", json=body)

    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == ERRORS_MAX


@in_loop
async def test_an_answer_repeats_no_more_of_a_name_than_this() -> None:
    async with edge() as (http, _):
        answer = await http.post("/subscription/usage", json=USAGE | {"x" * 5_000: 1})

    assert [len(error["field"]) for error in answer.json()["errors"]] == [SAID_LENGTH_MAX]


@pytest.mark.parametrize("field", ["service_type", "model_used", "session_id"])
@in_loop
async def test_texts_are_no_longer_than_this(field: str) -> None:
    async with edge() as (http, _):
        answers = [
            await http.post("/subscription/usage", json=USAGE | {field: "x" * length})
            for length in (TEXT_LENGTH_MAX, TEXT_LENGTH_MAX + 1)
        ]

    assert [answer.status_code for answer in answers] == [402, 422]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/keys", {"services": [f"s{n}" for n in range(SERVICES_MAX + 1)]}),
        ("/admin/keys", {"services": ["s" * (SERVICE_LENGTH_MAX + 1)]}),
        ("/admin/keys/none/rotate", {"overlap": OVERLAP_SECONDS_MAX + 1}),
    ],
    ids=["services", "a service", "an overlap"],
)
@in_loop
async def test_a_key_names_no_more_than_this(path: str, body: dict[str, Any]) -> None:
    named = {"name": "shop", "scope": "read"} if path.endswith("keys") else {}
    async with edge() as (http, _):
        answer = await http.post(path, json=named | body)

    assert answer.status_code == 422


@in_loop
async def test_a_signature_without_end_is_no_signature() -> None:
    header = {"Stripe-Signature": "t=1," + "v1=0," * 2_000}
    async with edge() as (http, _):
        answer = await http.post("/stripe/webhook", content=b"{}", headers=header)

    assert answer.status_code == 400


@in_loop
async def test_so_many_of_stripes_events_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    async with edge() as (http, backend):
        store = backend.stripe.store
        found = store.unapplied

        def unapplied(limit: int) -> object:
            asked.append(limit)
            return found(limit)

        monkeypatch.setattr(store, "unapplied", unapplied)
        await http.get("/admin/events")

    assert asked == [stripe_webhook.UNAPPLIED_MAX]

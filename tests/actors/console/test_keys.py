"""API keys: made, rotated and revoked, each shown before it is done; a new one is shown once."""

from typing import Any

import httpx
import pytest

from tests.fakes.browser import Browser
from tests.fakes.http_service import ADMIN_KEY, EXAMPLES, HttpService

KEY = EXAMPLES["KeyPage"]["items"][0]
KEY_ID = KEY["key_id"]
NEW = EXAMPLES["MadeKey"]
CHANGES: dict[str, tuple[dict[str, str], str, str, dict[str, Any] | None, str]] = {
    "make": (
        {"name": "shop", "scope": "write", "days": "90", "user_ids": "ada  bob"}
        | {"user_id_prefix": "org7/", "services": "chat\r\n\r\nsearch "},
        "POST",
        "/admin/keys",
        {
            "name": "shop",
            "scope": "write",
            "expires_in": 90 * 86_400,
            "user_ids": ["ada", "bob"],
            "user_id_prefix": "org7/",
            "services": ["chat", "search"],
        },
        "ada, bob, org7/…",
    ),
    "rotate": (
        {"overlap": "2"},
        "POST",
        f"/admin/keys/{KEY_ID}/rotate",
        {"overlap": 7200},
        "until 2026-03-10 14:00 UTC",
    ),
    "revoke": ({}, "DELETE", f"/admin/keys/{KEY_ID}", None, "refused everywhere"),
}


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_is_shown_before_it_is_done(
    operator: Browser, service: HttpService, action: str
) -> None:
    fields, method, path, body, shown = CHANGES[action]
    service.answers[method, path] = NEW if body else KEY

    form = operator.get(f"/keys/{action}?key={KEY_ID}")
    plan = operator.submit(form, f"/keys/{action}", **fields)

    assert shown in plan.text
    assert service.writes == []

    done = operator.submit(plan, f"/keys/{action}")

    assert done.headers["location"] == "/keys"
    (write,) = service.writes
    assert (write.method, write.path, write.body, write.key) == (method, path, body, ADMIN_KEY)


def test_a_new_key_is_shown_once_and_in_its_own_session_only(
    operator: Browser, service: HttpService
) -> None:
    service.answers["POST", "/admin/keys"] = NEW
    fields = {"name": "shop", "scope": "read"}
    plan = operator.submit(operator.get("/keys/make"), "/keys/make", **fields)
    done = operator.submit(plan, "/keys/make")

    pages = [operator.get("/keys").text for _ in range(2)]

    assert NEW["key"] not in done.text + str(done.headers)
    assert NEW["key"] in pages[0]
    assert NEW["key"] not in pages[1]


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("make", {"name": "", "scope": "read"}),
        ("make", {"name": "x", "scope": "root"}),
        ("make", {"name": "x", "scope": "read", "days": "0"}),
        ("rotate", {"overlap": "-1"}),
        ("rotate", {"overlap": "1", "days": "soon"}),
    ],
)
def test_a_form_that_cannot_be_read_comes_back_with_a_sentence(
    operator: Browser, service: HttpService, action: str, fields: dict[str, str]
) -> None:
    form = operator.get(f"/keys/{action}?key={KEY_ID}")
    answer = operator.submit(form, f"/keys/{action}", **fields)

    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert service.writes == []


def test_what_the_service_refuses_is_told_beside_the_form(
    operator: Browser, service: HttpService
) -> None:
    refusal = {"status": 403, "code": "forbidden", "title": "This key is limited"}
    service.answers["POST", "/admin/keys"] = httpx.Response(403, json=refusal)
    fields = {"name": "shop", "scope": "admin", "services": "a<b"}
    plan = operator.submit(operator.get("/keys/make"), "/keys/make", **fields)
    answer = operator.submit(plan, "/keys/make")

    assert "This key is limited" in answer.text
    assert 'value="shop"' in answer.text


@pytest.mark.parametrize("path", ["/keys/burn", "/keys/revoke?key=none", "/keys/rotate"])
def test_what_is_not_there_is_said(operator: Browser, path: str) -> None:
    assert operator.get(path).status_code == 404


def test_the_list_tells_what_state_a_key_is_in_and_which_one_signed_in(
    operator: Browser, service: HttpService
) -> None:
    day = "2026-03-09T12:00:00Z"
    rows = [
        KEY | {"prefix": ADMIN_KEY[:12], "last_used_at": day, "expires_at": None},
        KEY | {"revoked_at": day},
        KEY | {"expires_at": day, "user_ids": ["ada"], "services": None},
    ]
    service.answers["GET", "/admin/keys"] = {"items": rows, "next_cursor": "more&more"}

    page = operator.get("/keys").text

    for shown in ("this session&#39;s", "1 d ago", "revoked", "expired", "users ada", "in force"):
        assert shown in page
    assert page.count(">Revoke</a>") == 1
    assert 'href="/keys?cursor=more%26more"' in page

"""An attacker's table: nothing of it passes."""

import copy
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from markupsafe import escape

from actors.console.guard import FORM_BYTES_MAX, Place
from tests.fakes.browser import HOME, Browser, Time, browsing
from tests.fakes.http_service import ADMIN_KEY, EXAMPLES, HttpService

KEY_ID = EXAMPLES["KeyPage"]["items"][0]["key_id"]
ENDPOINT_ID = EXAMPLES["EndpointRecord"]["endpoint_id"]
PAGES = [
    "/",
    "/user?id=ada",
    "/user/adjust?id=ada",
    "/events",
    "/endpoints",
    "/endpoints/make",
    f"/endpoints/change?endpoint={ENDPOINT_ID}",
    f"/endpoints/rotate?endpoint={ENDPOINT_ID}",
    f"/endpoints/remove?endpoint={ENDPOINT_ID}",
    "/sweeps",
    "/shards",
    "/subscriptions",
    "/subscriptions/left",
    "/keys",
    "/keys/make",
    f"/keys/revoke?key={KEY_ID}",
    "/audit",
    "/refusals",
    "/prices?service=chat&count=5",
]
SCRIPT = "\"'><script>alert(1)</script>"
FORM = {"id": "ada", "how": "give", "amount": "5", "reason": "x", "confirmed": "1", "once": "k"}
FORM |= {"url": "https://evil.example/", "endpoint": ENDPOINT_ID, "name": "x", "scope": "admin"}
FORMS = (
    *("/user/adjust", "/sign-out", "/keys/make", "/events/redeliver"),
    *("/endpoints/make", "/endpoints/remove", "/endpoints/test"),
)
"""Forms of all kinds: `FORM` has the fields of each."""


@pytest.mark.parametrize("path", [*PAGES, "/live/overview", "/live/reshard", "/nowhere"])
def test_without_a_session_no_page_is_shown(
    stranger: Browser, service: HttpService, path: str
) -> None:
    answer = stranger.get(path)

    assert answer.status_code in (303, 401)
    assert service.asked == []


@pytest.mark.parametrize("path", FORMS)
def test_without_a_session_no_form_is_read(
    stranger: Browser, service: HttpService, path: str
) -> None:
    answer = stranger.send(path, FORM)

    assert answer.headers["location"] == "/sign-in"
    assert service.asked == []


def test_a_session_of_another_console_opens_nothing(
    stranger: Browser, operator: Browser, time: Time
) -> None:
    other = HttpService()
    with browsing(other, time=time) as browser:
        browser.cookies.update(operator.cookies)

        assert browser.get("/").headers["location"] == "/sign-in"
    assert other.asked == []


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        ("https://evil.example", {}),
        ("null", {}),
        (None, {}),
        ("http://127.0.0.1:8002", {}),
        (HOME, {"Sec-Fetch-Site": "cross-site"}),
        (HOME, {"Sec-Fetch-Site": "same-site"}),
    ],
)
@pytest.mark.parametrize("path", [*FORMS, "/sign-in", "/sign-in/link"])
def test_a_form_of_another_site_does_nothing(
    operator: Browser,
    service: HttpService,
    origin: str | None,
    headers: dict[str, str],
    path: str,
) -> None:
    operator.origin = origin

    answer = operator.send(path, FORM | {"key": ADMIN_KEY}, **headers)

    assert answer.status_code == 403
    assert service.writes == []
    assert operator.get("/").status_code == 200


@pytest.mark.parametrize("token", [None, "", "guessed", "é"])
def test_a_form_without_the_sessions_secret_does_nothing(
    operator: Browser, service: HttpService, token: str | None
) -> None:
    fields = FORM if token is None else FORM | {"form_token": token}

    answers = [operator.send(path, fields) for path in FORMS]

    assert {answer.status_code for answer in answers} == {403}
    assert service.writes == []
    assert operator.get("/").status_code == 200


def test_a_form_with_another_sessions_secret_does_nothing(
    operator: Browser, service: HttpService
) -> None:
    page = operator.get("/")
    operator.sign_in()

    assert {operator.submit(page, path, **FORM).status_code for path in FORMS} == {403}
    assert service.writes == []


def test_a_form_that_is_too_long_is_not_read(operator: Browser) -> None:
    answer = operator.submit(operator.get("/"), "/user/adjust", id="x" * FORM_BYTES_MAX)

    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8001", "127.0.0.1", "127.0.0.1:80"])
def test_another_name_that_leads_here_is_refused(operator: Browser, host: str) -> None:
    assert operator.get("/", Host=host).status_code == 421


def poisoned(content: Any) -> Any:
    """Return an answer with a script in every text that callers and other programs choose."""
    chosen = {"service_type", "model_used", "reason", "details", "by", "timezone", "endpoint"}
    chosen |= {"last_error", "type", "kind", "category", "transaction_id", "session_id", "subject"}
    chosen |= {"name", "services", "user_id_prefix", "action", "target", "made", "idempotency_key"}
    chosen |= {"address", "events"}
    if isinstance(content, list):
        return [poisoned(one) for one in content]
    if not isinstance(content, dict):
        return content
    chosen |= {"user_id", "by", "job", "prefix"}
    names = {"by_service", "by_model"}
    return {
        name: ([SCRIPT] if isinstance(value, list) else SCRIPT)
        if name in chosen
        else {SCRIPT + key: one for key, one in value.items()}
        if name in names
        else poisoned(value)
        for name, value in content.items()
    }


@pytest.mark.parametrize("path", PAGES)
def test_a_script_in_what_others_have_written_is_text(
    operator: Browser, service: HttpService, path: str
) -> None:
    service.answers = {call: poisoned(copy.deepcopy(one)) for call, one in service.answers.items()}
    history = EXAMPLES["HistoryPage"]["items"][0]
    page = {"items": [history | {"by": SCRIPT, "change": {"reason": SCRIPT}}], "next_cursor": "2"}
    service.answers["GET", "/subscriptions/ada/history"] = page

    answer = operator.get(path)

    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "'><" not in answer.text


@pytest.mark.parametrize(
    "field", ["id", "reason", "usage", "hold", "subscription", "kind", "amount"]
)
def test_a_script_in_an_address_or_a_form_is_text(operator: Browser, field: str) -> None:
    form = operator.get(f"/user/adjust?id=ada&{field}=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    sent = operator.submit(operator.get("/user/adjust?id=ada"), "/user/adjust", **{field: SCRIPT})

    for answer in (form, sent):
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize("path", ["/endpoints/make", "/keys/make"])
def test_a_script_in_an_address_or_a_name_that_is_typed_is_text(
    operator: Browser, path: str
) -> None:
    typed = {"url": f"https://x.example/{SCRIPT}", "name": SCRIPT, "scope": "read"}
    plan = operator.submit(operator.get(path), path, **typed)
    refused = operator.submit(plan, path)  # The service knows of no such call.

    for answer in (plan, refused):
        assert str(escape(SCRIPT)) in answer.text
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/static/console.js", "/nowhere"])
def test_no_answer_may_be_framed_or_run_a_script_that_is_not_ours(
    operator: Browser, path: str
) -> None:
    headers = operator.get(path).headers
    policy = headers["content-security-policy"]

    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_an_inline_script_a_style_or_a_key(operator: Browser, path: str) -> None:
    page = operator.get(path)

    assert " style=" not in page.text
    assert " onclick=" not in page.text
    assert "<script>" not in page.text
    assert ADMIN_KEY not in page.text
    assert page.headers["cache-control"] == "no-store"


def test_behind_a_proxy_with_tls_the_cookie_is_a_secure_one_of_that_name_alone() -> None:
    place = Place.of("0.0.0.0", 8001, "https://ops.example")

    assert place.is_secure
    assert place.cookie.startswith("__Host-")
    assert place.is_ours("ops.example")
    assert not place.is_ours("127.0.0.1:8001")


@pytest.mark.parametrize(
    ("host", "shown"),
    [("::1", "[::1]:8001"), ("127.0.0.1", "localhost:8001"), ("10.0.0.5", "10.0.0.5:8001")],
)
def test_it_answers_to_the_names_of_where_it_listens(host: str, shown: str) -> None:
    assert Place.of(host, 8001, None).is_ours(shown)


def test_a_user_whose_id_is_a_script_has_a_page_without_it(
    operator: Browser, service: HttpService
) -> None:
    """Ids are whatever callers send: this one has no space, so the interface takes it."""
    whose = quote(SCRIPT, safe="")
    for part in ("", "/history"):
        answer = service.answers["GET", f"/subscriptions/ada{part}"]
        service.answers["GET", f"/subscriptions/{whose}{part}"] = answer

    for page in (f"/user?id={whose}", f"/user/adjust?id={whose}", f"/user/add?id={whose}"):
        shown = operator.get(page)

        assert shown.status_code == 200
        assert str(escape(SCRIPT)) in shown.text
        assert "<script>alert" not in shown.text


@pytest.mark.parametrize("public_url", [None, "http://ops.example:9000"])
def test_consoles_of_one_machine_have_cookies_of_their_own(public_url: str | None) -> None:
    names = {
        Place.of("127.0.0.1", port, public_url and public_url.replace("9000", str(port))).cookie
        for port in (8001, 8002)
    }

    assert len(names) == 2


@pytest.mark.parametrize("name", ["console", "embed"])
def test_every_row_of_the_table_names_tests_that_are_there(name: str) -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / f"{name}.md").read_text()
    table = page.partition("| attack |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| .* \| (`test_.*) \|$", table, re.MULTILINE)
    sources = "".join(path.read_text() for path in (root / "tests").rglob("test_*.py"))

    assert len(rows) > 5
    assert len(rows) == len(table.strip().splitlines()) - 2
    for test in re.findall(r"test_\w+", "".join(rows)):
        assert f"def {test}(" in sources

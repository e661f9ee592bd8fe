"""Who gets into the console, for how long, and what is left of a key."""

import pytest

from actors.console.sessions import (
    IDLE_SECONDS_MAX,
    SESSION_SECONDS_MAX,
    SESSIONS_MAX,
    Link,
    Sessions,
)
from tests.fakes.browser import Browser, Time, browsing
from tests.fakes.http_service import ADMIN_KEY, READ_KEY, HttpService


def test_an_admin_key_signs_in_and_its_cookie_holds_no_key(stranger: Browser) -> None:
    answer = stranger.sign_in()

    cookie = answer.headers["set-cookie"]
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert ADMIN_KEY not in cookie
    assert "Overview" in stranger.get("/").text


@pytest.mark.parametrize("key", ["", READ_KEY, "allot_unknown", "clé", "a\nb", "k" * 300])
def test_every_other_key_is_refused_with_a_sentence(stranger: Browser, key: str) -> None:
    answer = stranger.sign_in(key)

    assert answer.status_code == 403
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers
    assert stranger.get("/").headers["location"] == "/sign-in"


def test_where_the_service_is_away_the_sign_in_says_so(
    stranger: Browser, service: HttpService
) -> None:
    service.is_away = True

    assert "does not answer" in stranger.sign_in().text


def test_a_link_signs_in_once_and_within_an_hour(service: HttpService, time: Time) -> None:
    link = Link(ADMIN_KEY, lambda: time.seconds)
    with browsing(service, link=link, time=time) as browser:
        wrong = browser.send("/sign-in/link", {"token": "guessed"})
        first = browser.send("/sign-in/link", {"token": link.token})
        again = browser.send("/sign-in/link", {"token": link.token})

    assert wrong.headers["location"] == again.headers["location"] == "/sign-in?why=link"
    assert first.headers["location"] == "/"

    late = Link(ADMIN_KEY, lambda: time.seconds)
    time.seconds += 3600
    assert late.take(late.token) is None


def test_a_session_ends_when_nobody_uses_it_though_its_page_asks_on(
    operator: Browser, time: Time
) -> None:
    for _ in range(2):
        time.seconds += IDLE_SECONDS_MAX / 2
        live = operator.get("/live/overview")

    assert live.status_code == 401
    assert operator.get("/").headers["location"] == "/sign-in"


def test_a_session_ends_after_half_a_day_of_use(operator: Browser, time: Time) -> None:
    began = time.seconds
    while time.seconds < began + SESSION_SECONDS_MAX - IDLE_SECONDS_MAX / 2:
        assert operator.get("/").status_code == 200
        time.seconds += IDLE_SECONDS_MAX / 2

    time.seconds = began + SESSION_SECONDS_MAX
    assert operator.get("/").headers["location"] == "/sign-in"


def test_signing_out_ends_the_session_for_whoever_has_its_cookie(operator: Browser) -> None:
    kept = dict(operator.cookies)
    answer = operator.submit(operator.get("/"), "/sign-out")
    operator.cookies.update(kept)

    assert answer.headers["location"] == "/sign-in?why=out"
    assert operator.get("/").headers["location"] == "/sign-in"


def test_a_revoked_key_ends_its_session(operator: Browser, service: HttpService) -> None:
    service.revoked.add(ADMIN_KEY)

    assert operator.get("/").headers["location"] == "/sign-in?why=key"
    service.revoked.clear()
    assert operator.get("/").headers["location"] == "/sign-in"


def test_the_session_used_longest_ago_makes_room_for_one_too_many() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    ids = []
    for _ in range(SESSIONS_MAX):
        now[0] += 1
        ids.append(sessions.begin(ADMIN_KEY))
    now[0] += 1
    sessions.find(ids[0])

    sessions.begin(ADMIN_KEY)

    assert sessions.find(ids[0]) is not None
    assert sessions.find(ids[1]) is None


def test_what_is_printed_of_a_session_has_no_key_in_it() -> None:
    sessions = Sessions(lambda: 0.0)

    session = sessions.find(sessions.begin(ADMIN_KEY))

    assert session is not None
    assert ADMIN_KEY not in repr(session)
    assert session.form_token not in repr(session)

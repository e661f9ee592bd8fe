"""Endpoints of webhooks over HTTP: made, listed, changed, rotated, tested and removed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from actors.auth.caller import Scope
from actors.edge.routes.endpoints import ENDPOINT_ID_LENGTH_MAX
from actors.events import endpoint_desk
from actors.events.trial import TRIAL_TYPE
from tests.fakes.edge import ENVIRONMENT, LocalBackend, edge
from tests.fakes.shards import in_loop

ENDPOINTS = "/admin/endpoints"
URL = "https://ada:pass@hooks.example:8443/in?token=t"
BODY: dict[str, Any] = {"url": URL, "events": ["subscription.low_credits"]}
SECRETS = (ENVIRONMENT["secrets"][0], "password", "pass@", "token=t")


@pytest.mark.parametrize("port", ["+443", "4_4_3", " 443", "٤٤٣"])
@in_loop
async def test_a_port_that_is_no_number_is_refused(port: str) -> None:
    url = f"https://crm.example:{port}/hook"
    async with edge() as (http, _):
        known = (await http.post(ENDPOINTS, json={"url": "https://crm.example/hook"})).json()
        made = await http.post(ENDPOINTS, json={"url": url})
        changed = await http.patch(f"{ENDPOINTS}/{known['endpoint_id']}", json={"url": url})
        listed = await http.get(ENDPOINTS)

    assert (made.status_code, changed.status_code, listed.status_code) == (422, 422, 200)


@in_loop
async def test_an_endpoint_that_was_made_is_listed_without_what_is_secret() -> None:
    async with edge() as (http, _):
        made = (await http.post(ENDPOINTS, json=BODY)).json()
        listed = await http.get(ENDPOINTS)

    of_environment, own = listed.json()
    assert own == {name: made[name] for name in own}
    assert own["address"] == "https://hooks.example:8443/in"
    assert (own["source"], own["events"], own["enabled"]) == ("runtime", BODY["events"], True)
    assert of_environment["source"] == "environment"
    assert (of_environment["endpoint"], of_environment["address"]) == (
        "webhook crm",
        "https://crm.example/hook",
    )
    assert made["secret"].startswith("whsec_")
    assert not any(secret in listed.text for secret in (*SECRETS, made["secret"]))


@in_loop
async def test_a_repeat_is_answered_as_the_first_and_makes_no_other() -> None:
    async with edge() as (http, _):
        answers = [
            await http.post(ENDPOINTS, json=body, headers={"Idempotency-Key": key})
            for body, key in [
                (BODY, "k-1"),
                (BODY, "k-1"),
                (BODY | {"enabled": False}, "k-1"),
                (BODY, "k-2"),
            ]
        ]
        endpoint_id = answers[0].json()["endpoint_id"]
        await http.post(f"{ENDPOINTS}/{endpoint_id}/rotate")
        late = await http.post(ENDPOINTS, json=BODY, headers={"Idempotency-Key": "k-1"})
        listed = (await http.get(ENDPOINTS)).json()

    first, again, other, second = answers
    assert [answer.status_code for answer in answers] == [201, 201, 422, 201]
    assert again.content == first.content == late.content
    assert again.headers["idempotent-replayed"] == "true"
    assert other.json()["code"] == "idempotency_key_reused"
    assert len(listed) == 3
    assert second.json()["endpoint_id"] != endpoint_id


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "ftp://crm.example"}, "url"),
        ({"url": "http://crm.example"}, "url"),
        ({"url": "https://10.0.0.1/hook"}, "url"),
        ({"url": "https://localhost/hook"}, "url"),
        ({"url": "https://crm.example/" + "a" * 2048}, "url"),
        ({"url": "https://crm.example/a b"}, "url"),
        ({"url": ""}, "url"),
        ({"url": None}, "url"),
        ({"events": ["usage.unheard"]}, "events.0"),
        ({"events": None}, "events"),
        ({"enabled": "yes"}, "enabled"),
        ({"secret": "whsec_mine"}, "secret"),
    ],
    ids=str,
)
@in_loop
async def test_what_is_no_endpoint_is_refused_and_not_repeated(
    wrong: dict[str, Any], field: str
) -> None:
    async with edge() as (http, _):
        made = await http.post(ENDPOINTS, json=BODY | wrong)
        kept = (await http.post(ENDPOINTS, json=BODY)).json()["endpoint_id"]
        changed = await http.patch(f"{ENDPOINTS}/{kept}", json={"enabled": True} | wrong)
        listed = (await http.get(ENDPOINTS)).json()

    assert made.status_code == 422
    assert [error["field"] for error in made.json()["errors"]] == [field]
    assert not any(secret in made.text for secret in SECRETS)
    if None not in wrong.values():
        assert [error["field"] for error in changed.json()["errors"]] == [field]
    assert len(listed) == 2


@in_loop
async def test_a_host_that_the_environment_names_may_be_http() -> None:
    async with edge() as (http, _):
        made = await http.post(ENDPOINTS, json={"url": "http://inside:9000/hook"})

    assert made.status_code == 201
    assert made.json()["events"] == []


@in_loop
async def test_a_change_keeps_what_it_does_not_name() -> None:
    async with edge() as (http, _):
        made = (await http.post(ENDPOINTS, json=BODY)).json()
        one = f"{ENDPOINTS}/{made['endpoint_id']}"
        off = (await http.patch(one, json={"enabled": False})).json()
        every = (await http.patch(one, json={"events": []})).json()
        moved = (await http.patch(one, json={"url": "https://other.example/"})).json()
        nothing = await http.patch(one, json={})

    assert (off["enabled"], off["events"], off["address"]) == (
        *(False, BODY["events"]),
        made["address"],
    )
    assert (every["events"], every["enabled"]) == ([], False)
    assert (moved["address"], moved["events"]) == ("https://other.example/", [])
    assert nothing.status_code == 422


@in_loop
async def test_a_removed_endpoint_is_gone_and_its_key_makes_another() -> None:
    async with edge() as (http, _):
        key = {"Idempotency-Key": "k-1"}
        made = (await http.post(ENDPOINTS, json=BODY, headers=key)).json()
        one = f"{ENDPOINTS}/{made['endpoint_id']}"
        removed, again = await http.delete(one), await http.delete(one)
        other = (await http.post(ENDPOINTS, json=BODY, headers=key)).json()

    assert removed.json()["endpoint_id"] == made["endpoint_id"]
    assert (again.status_code, again.json()["code"]) == (404, "not_found")
    assert other["endpoint_id"] != made["endpoint_id"]


@pytest.mark.parametrize(
    ("method", "act", "body"),
    [("PATCH", "", {"enabled": False}), ("DELETE", "", None), ("POST", "/rotate", None)],
)
@in_loop
async def test_endpoints_of_the_environment_are_changed_there_alone(
    method: str, act: str, body: Any
) -> None:
    async with edge() as (http, _):
        of_environment = (await http.get(ENDPOINTS)).json()[0]
        path = f"{ENDPOINTS}/{of_environment['endpoint_id']}{act}"
        got = await http.request(method, path, json=body)
        listed = (await http.get(ENDPOINTS)).json()

    assert (got.status_code, got.json()["code"]) == (403, "forbidden")
    assert listed == [of_environment]


@in_loop
async def test_so_many_endpoints_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_desk, "ENDPOINTS_MAX", 2)
    async with edge() as (http, _):
        headers = [{"Idempotency-Key": f"k-{number}"} for number in range(3)]
        answers = [await http.post(ENDPOINTS, json=BODY, headers=each) for each in headers]
        repeat = await http.post(ENDPOINTS, json=BODY, headers=headers[0])

    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert repeat.content == answers[0].content


@in_loop
async def test_a_test_event_is_signed_with_the_new_secret_and_the_old_one() -> None:
    async with edge() as (http, backend):
        made = (await http.post(ENDPOINTS, json=BODY)).json()
        one = f"{ENDPOINTS}/{made['endpoint_id']}"
        new = (await http.post(f"{one}/rotate", json={"overlap": 60})).json()
        tried = (await http.post(f"{one}/test")).json()
        alone = (await http.post(f"{one}/rotate", json={"overlap": 0})).json()
        await http.post(f"{one}/test")

    first, second = backend.outside.sent
    for secret in (made["secret"], new["secret"]):
        event = verified(secret, first.body, first.headers)
        assert (event["type"], event["data"]) == (
            TRIAL_TYPE,
            {"endpoint_id": made["endpoint_id"]},
        )
    verified(alone["secret"], second.body, second.headers)
    assert second.headers["webhook-signature"].count("v1,") == 1
    assert (tried["delivered"], tried["status"], tried["error"]) == (True, 204, None)
    assert (new["old_secret_until"], alone["old_secret_until"]) == ("2026-03-10T12:01:00Z", None)


def verified(secret: str, body: str, headers: Any) -> dict[str, Any]:
    """Return a signed event, whenever it was signed: the tests have a time of their own."""
    event_id, at = headers["webhook-id"], int(headers["webhook-timestamp"])
    webhook = Webhook(secret)

    signature = webhook.sign(event_id, datetime.fromtimestamp(at, UTC), body)
    assert signature in headers["webhook-signature"].split()

    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (500, {"delivered": False, "status": 500, "error": None}),
        (
            None,
            {
                "delivered": False,
                "status": None,
                "error": "the endpoint cannot be reached: ClientConnectorError",
            },
        ),
    ],
)
@in_loop
async def test_a_test_event_that_fails_tells_how(answer: int | None, told: dict[str, Any]) -> None:
    async with edge() as (http, backend):
        backend.outside.status = answer
        of_environment = (await http.get(ENDPOINTS)).json()[0]
        got = (await http.post(f"{ENDPOINTS}/{of_environment['endpoint_id']}/test")).json()
        unknown = await http.post(f"{ENDPOINTS}/ep_none/test")

    assert {name: got[name] for name in told} == told
    assert got["milliseconds"] >= 0
    assert backend.outside.closed == 1
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


@in_loop
async def test_what_is_done_to_endpoints_is_in_the_audit() -> None:
    async with edge() as (http, _):
        made = (await http.post(ENDPOINTS, json=BODY)).json()["endpoint_id"]
        one = f"{ENDPOINTS}/{made}"
        await http.patch(one, json={"enabled": False})
        await http.post(f"{one}/rotate")
        await http.post(f"{one}/test")
        await http.delete(one)
        page = await http.get("/admin/audit")

    acts = [
        (a["action"], a["target"], a["made"], a["outcome"]) for a in reversed(page.json()["items"])
    ]
    path = f"{ENDPOINTS}/{{endpoint_id}}"
    assert acts == [
        (f"POST {ENDPOINTS}", None, made, "done"),
        (f"PATCH {path}", made, None, "done"),
        (f"POST {path}/rotate", made, None, "done"),
        (f"POST {path}/test", made, None, "done"),
        (f"DELETE {path}", made, None, "done"),
    ]
    assert "hooks.example" not in page.text


@in_loop
async def test_an_id_is_no_longer_than_this() -> None:
    async with edge() as (http, _):
        answers = [
            await http.post(f"{ENDPOINTS}/{'x' * length}/test")
            for length in (ENDPOINT_ID_LENGTH_MAX, ENDPOINT_ID_LENGTH_MAX + 1)
        ]

    assert [answer.status_code for answer in answers] == [404, 422]


@pytest.mark.parametrize("method", ["GET", "POST"])
@in_loop
async def test_while_the_database_is_away_it_is_to_be_repeated(method: str) -> None:
    async with edge() as (http, backend):
        backend.memory_endpoints.away = True
        body = BODY if method == "POST" else None
        got = await http.request(method, ENDPOINTS, json=body)

    assert (got.status_code, got.json()["code"]) == (503, "storage_unavailable")


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE])
@in_loop
async def test_only_an_admin_key_has_to_do_with_endpoints(scope: Scope) -> None:
    async with edge(scope) as (http, backend):
        statuses = [
            (await http.request(method, path, json=BODY)).status_code
            for method, path in [("GET", ENDPOINTS), ("POST", ENDPOINTS)]
        ]

    assert statuses == [403, 403]
    assert kept(backend) == 0


def kept(backend: LocalBackend) -> int:
    return len(backend.memory_endpoints.kept)

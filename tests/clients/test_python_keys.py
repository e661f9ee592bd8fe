"""Keys, endpoints and the audit over the Python client: made once, whatever becomes of the answer."""

import json

import httpx
import pytest

from allotment_client import Allotment, ServiceAwayError
from tests.clients.faces import face
from tests.fakes.shards import in_loop

MADE: dict[str, object] = {
    "key_id": "k1",
    "name": "shop",
    "scope": "read",
    "prefix": "allot_",
    "user_ids": None,
}
MADE |= {"user_id_prefix": None, "services": ["chat"], "created_at": "2026-03-10T12:00:00Z"}
MADE |= {"last_used_at": None, "expires_at": None, "revoked_at": None, "key": "allot_secret"}


@in_loop
async def test_keys_are_made_rotated_revoked_and_audited() -> None:
    async with face("http") as (client, _):
        made = await client.create_key("shop", "write", user_ids=["ada"], services=["chat"])
        new = await client.rotate_key(made.key_id, overlap=60)
        revoked = await client.revoke_key(new.key_id)
        page = await client.list_keys(limit=2)
        acts = (await client.get_audit()).items

    assert (made.user_ids, made.services, made.user_id_prefix) == (["ada"], ["chat"], None)
    assert made.key not in repr(made)
    assert (new.user_ids, revoked.revoked_at is None) == (["ada"], False)
    assert (len(page.items), page.next_cursor) == (2, made.key_id)
    assert {act.made for act in acts} == {made.key_id, new.key_id, None}


@pytest.mark.parametrize("lost", [httpx.ReadTimeout("lost"), httpx.Response(502)], ids=str)
def test_a_key_whose_answer_is_lost_is_not_made_again(
    lost: httpx.Response | httpx.ReadTimeout,
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if isinstance(lost, Exception):
            raise lost
        return lost

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://allotment")
    with pytest.raises(ServiceAwayError):
        Allotment(http).create_key("shop", "read")

    assert asked == ["/admin/keys"]


def test_a_key_that_was_refused_for_now_is_asked_for_again() -> None:
    busy = {"type": "about:blank", "title": "t", "status": 503, "detail": "d", "code": "overloaded"}
    answers = [httpx.Response(503, json=busy), httpx.Response(201, json=MADE)]
    bodies: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return answers.pop(0)

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://allotment")

    assert Allotment(http).create_key("shop", "read", services=["chat"]).key == "allot_secret"
    assert bodies == [{"name": "shop", "scope": "read", "services": ["chat"]}] * 2


@in_loop
async def test_settings_are_changed_one_by_one_and_go_back_to_the_environments() -> None:
    async with face("http") as (client, _):
        first = await client.change_settings(cors_origins=["https://app.example"])
        both = await client.change_settings(low_credits_percents=(5, 20))
        back = await client.change_settings(low_credits_percents=[])
        seen = await client.get_settings()

    assert (first.low_credits_percents, first.environment_low_credits_percent) == (None, 20)
    assert (both.cors_origins, both.low_credits_percents) == (["https://app.example"], [20, 5])
    assert back == seen == first


@in_loop
async def test_endpoints_are_made_changed_rotated_tested_and_removed() -> None:
    async with face("http") as (client, _):
        made = await client.create_endpoint("https://new.example/", events=["usage.spike"])
        off = await client.change_endpoint(made.endpoint_id, enabled=False)
        every = await client.change_endpoint(made.endpoint_id, events=[])
        new = await client.rotate_endpoint(made.endpoint_id, overlap=60)
        tried = await client.test_endpoint(made.endpoint_id)
        listed = await client.list_endpoints()
        removed = await client.remove_endpoint(made.endpoint_id)
        left = await client.list_endpoints()

    assert (off.enabled, off.events, every.events) == (False, ["usage.spike"], [])
    assert new.secret not in {made.secret, repr(new)}
    assert made.secret not in repr(made)
    assert (tried.delivered, tried.status) == (True, 204)
    assert [one.source for one in listed] == ["environment", "runtime"]
    assert (removed.endpoint_id, len(left)) == (made.endpoint_id, 1)

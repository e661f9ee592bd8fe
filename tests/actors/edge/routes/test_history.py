"""The audit: who did which write, page by page."""

from typing import Any

import pytest

from actors.auth.caller import Scope
from domain.documents.journal import entry_document, read_entry
from domain.fingerprints import fingerprint
from tests.builders.authors import use
from tests.fakes.edge import CREDITS, USAGE, edge
from tests.fakes.shards import in_loop


@in_loop
async def test_every_write_names_the_key_that_asked_for_it() -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS, headers={"Idempotency-Key": "c"})
        await http.post("/subscription/usage", json=USAGE, headers={"Idempotency-Key": "u"})
        await http.post("/subscription/usage/batch", json={"records": [USAGE]})
        refused = USAGE | {"credit_amount": 5000}
        await http.post("/subscription/usage", json=refused, headers={"Idempotency-Key": "r"})
        subscription = (await http.get("/subscriptions/ada")).json()["subscriptions"][0]
        path = f"/subscriptions/{subscription['subscription_id']}"
        await http.patch(path, json={"status": "paused"})
        page = (await http.get("/subscriptions/ada/history")).json()
        (name,) = backend.keys._ids

    items = page["items"]
    kinds = ["credits_added", "usage_recorded", "usage_recorded", "command_refused"]
    assert [item["kind"] for item in items] == [*kinds, "subscription_changed"][::-1]
    assert [item["seq"] for item in items] == [5, 4, 3, 2, 1]
    assert {item["by"] for item in items} == {name}
    assert name.startswith("key:")
    assert [item["idempotency_key"] for item in items[-2:]] == ["u", "c"]
    assert items[-2]["answer"]["remaining_credits"] == 60
    assert items[1]["answer"] is None
    assert page["next_cursor"] is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
@in_loop
async def test_pages_fit_together(limit: int) -> None:
    async with edge() as (http, _):
        await http.post("/subscription/credits", json=CREDITS)
        for _number in range(6):
            await http.post("/subscription/usage", json=USAGE | {"credit_amount": 1})
        found: list[int] = []
        query: dict[str, Any] = {"limit": limit}
        while True:
            page = (await http.get("/subscriptions/ada/history", params=query)).json()
            found += [item["seq"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]

    assert found == [7, 6, 5, 4, 3, 2, 1]


@in_loop
async def test_somebody_unknown_has_no_history() -> None:
    async with edge(Scope.ADMIN) as (http, _):
        page = (await http.get("/subscriptions/nobody/history")).json()

    assert page == {"user_id": "nobody", "items": [], "next_cursor": None}


@in_loop
async def test_entries_of_older_versions_are_by_nobody_known() -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)
        (entry,) = backend.shards.store.journal.values()

    document = entry_document(entry)
    del document["by"]
    assert read_entry(document).by is None
    assert read_entry(entry_document(entry)) == entry


def test_who_sends_a_command_is_no_part_of_what_it_says() -> None:
    assert "key:" not in repr(use("ada", 1))
    assert fingerprint(use("ada", 1)) == fingerprint(use("ada", 1))

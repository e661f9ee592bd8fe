"""Whoever asks as before is answered as before: fields are added, none is changed."""

from typing import Any

import pytest

from tests.fakes.setups import Setup
from tests.fakes.shards import in_loop
from tests.golden.comparing import differences, read_golden
from tests.golden.serving import served

*STEPS, LAST = read_golden("answers.json")


@in_loop
async def test_every_answer_has_what_it_had(summing: Setup) -> None:
    async with served(summing) as service:
        for number, step in enumerate(STEPS):
            answer = await service.answer(step["request"])
            changed = list(differences(step["answer"], answer))
            assert not changed, (number, step["request"])
            assert answer["headers"] == step["answer"]["headers"], (number, step["request"])
        events = await service.events()

    known = {event["type"] for event in LAST["events"]}
    told = [event for event in events if event["type"] in known]
    assert not list(differences(LAST["events"], told))


def test_the_walk_comes_to_every_status_code_and_event_that_users_meet() -> None:
    codes = {step["answer"]["status"] for step in STEPS}
    bodies = [step["answer"]["body"] for step in STEPS]
    problems = {body["code"] for body in bodies if isinstance(body, dict) and "code" in body}

    assert codes == {200, 201, 204, 401, 402, 403, 404, 405, 409, 422}
    assert problems == {
        *("unauthorized", "forbidden", "not_found", "method_not_allowed", "hold_closed"),
        *("insufficient_credits", "no_active_subscription", "invalid_request"),
        *("idempotency_key_reused", "duplicate_payment"),
    }
    assert {event["type"] for event in LAST["events"]} == {
        *("subscription.low_credits", "subscription.changed", "subscription.renewed"),
        *("subscription.expired", "usage.spike"),
    }


@pytest.mark.parametrize(
    ("found", "changed"),
    [
        ({"a": 1, "b": [{"c": None}], "new": 2}, []),
        ({"a": 1, "b": [{"c": None, "new": 1}]}, []),
        ({"b": [{"c": None}]}, [".a is missing"]),
        ({"a": True, "b": [{"c": None}]}, [".a: 1 became True"]),
        ({"a": 1, "b": [{"c": 0}]}, [".b[0].c: None became 0"]),
        ({"a": 1, "b": []}, [".b: [{'c': None}] became []"]),
    ],
)
def test_what_is_changed_or_missing_is_named(found: Any, changed: list[str]) -> None:
    assert list(differences({"a": 1, "b": [{"c": None}]}, found)) == changed

"""What a charge is about goes all the way: from bodies into entries, documents, lists and answers.

Every test asks it of all facts there are, so one that is added is held to it.
"""

import json
from typing import Any

import pytest
from bson import Int64

from actors.mongo.documents.usages import read_usage, usage_document
from domain.api.answers import TokenCounts, told_facts
from domain.api.hold_answers import open_holds
from domain.api.hold_requests import PlaceHoldBody
from domain.api.requests import RecordUsageBody, TokensBody
from domain.charges import UsageRecorded
from domain.documents.holds import hold_document, read_hold
from domain.documents.journal import entry_document, read_entry
from domain.holds import HoldPlaced, HoldSettled, SettleHold
from domain.messages import Entry
from domain.usage_facts import FACTS, LABELS, facts_of
from domain.values import Credits, Policy
from tests.builders.authors import Author

TOLD: dict[str, Any] = {name: f"a {name}" for name in LABELS} | {
    "token_count": 7,
    "details": {"a": {"b": [1, None]}},
}
KEPT = TOLD | {"details": json.dumps(TOLD["details"])}


def paid_author() -> Author:
    author = Author("ada")
    author.add()
    return author


def charged(author: Author) -> Entry:
    body = RecordUsageBody(user_id="ada", service_type="chat", credit_amount=1, **TOLD)
    return author.do(body.command())


def placed(author: Author) -> Entry:
    body = PlaceHoldBody(user_id="ada", service_type="chat", credit_amount=1, **TOLD)
    return author.do(body.command())


def body_of(entry: Entry) -> Any:
    document = entry_document(entry)
    assert read_entry(document) == entry
    return json.loads(document["body"])


def facts_in(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in FACTS}


def test_a_charge_says_them_in_its_entry_its_record_its_list_and_its_answer() -> None:
    entry = charged(paid_author())
    record = usage_document(entry)
    shown = read_usage(record).model_dump(mode="json")

    assert isinstance(entry.change, UsageRecorded)
    assert facts_in(body_of(entry)) == facts_of(entry.change) == KEPT
    assert facts_in(record) == facts_in(shown) == told_facts(entry.change) == TOLD
    assert facts_in(json.loads(entry.answer or "")) == TOLD


def test_a_hold_says_them_in_its_entry_its_document_and_its_answer() -> None:
    author = paid_author()
    entry = placed(author)

    assert isinstance(entry.change, HoldPlaced)
    hold = entry.change.hold
    assert facts_in(body_of(entry)["hold"]) == facts_in(hold_document(hold)) == KEPT
    assert read_hold(hold_document(hold), hold.date) == hold
    (shown,) = open_holds(author.account, author.now, Policy()).holds
    assert facts_in(shown.model_dump(mode="json")) == TOLD


def test_tokens_by_kind_are_in_the_record_and_its_list_where_they_were_told() -> None:
    tokens = {"input": 5, "output": 2, "cache_read": 0, "cache_write": 1, "reasoning": 0}
    body = RecordUsageBody(
        user_id="ada", service_type="chat", credit_amount=1, tokens=TokensBody(**tokens)
    )
    author = paid_author()
    told = usage_document(author.do(body.command()))
    plain = usage_document(charged(author))

    assert told["tokens"] == {kind: Int64(count) for kind, count in tokens.items()}
    assert all(type(count) is Int64 for count in told["tokens"].values())
    assert (told["token_count"], list(plain)) == (8, [name for name in told if name != "tokens"])
    assert read_usage(told).tokens == TokenCounts(**tokens)
    assert read_usage(plain).tokens is None


@pytest.mark.parametrize("name", FACTS)
def test_a_settlement_says_one_anew_and_leaves_the_others_as_the_hold_has_them(name: str) -> None:
    author = paid_author()
    change = placed(author).change
    assert isinstance(change, HoldPlaced)
    new: dict[str, Any] = {name: 9 if name == "token_count" else "{}"}

    settling = SettleHold(author.account.user_id, change.hold.hold_id, Credits(1), **new)
    settled = author.do(settling).change

    assert isinstance(settled, HoldSettled)
    assert facts_of(settled.usage) == KEPT | new

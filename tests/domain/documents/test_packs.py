"""Packs that other programs write: read as they are, wherever the journal's line to them runs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.comparison import essence
from domain.documents.packs import read_packs
from domain.packs import Category
from domain.values import Credits, Policy
from tests.builders.ledger import NOON, ONE_DAY, utc
from tests.builders.lives import POLICIES, STEPS, Step, live
from tests.builders.shard_ledger import ShardLedger

Document = dict[str, Any]
Edit = Callable[[dict[str, Document]], None]
BEGIN = [Step(0, "add", 300, 20), Step(0, "pack", 200, 9), Step(0, "pack", 90, 4)]


def written_by_another_program(**changes: object) -> Document:
    return {"_id": "foreign", "user_id": "ada", "spendable_credits": 100, "amount": 100} | changes


def set_fields(**fields: object) -> Edit:
    def edit(packs: dict[str, Document]) -> None:
        for document in packs.values():
            document.update(fields)

    return edit


def give_more(packs: dict[str, Document]) -> None:
    for document in packs.values():
        document["spendable_credits"] += 30
        document["amount"] += 30


def insert(packs: dict[str, Document]) -> None:
    packs["foreign"] = written_by_another_program()


EDITS: dict[str, Edit] = {
    "more credits": give_more,
    "another priority": set_fields(priority=3),
    "another category": set_fields(category="promotional"),
    "a later expiry": set_fields(expires_at=NOON + 400 * ONE_DAY),
    "an earlier expiry": set_fields(expires_at=NOON + timedelta(hours=5)),
    "no expiry": set_fields(expires_at=None),
    "another pack": insert,
    "no packs": lambda packs: packs.clear(),
}


@given(POLICIES, STEPS, st.sampled_from(sorted(EDITS)), st.integers(0, 12))
def test_an_edit_that_overtakes_the_views_is_seen_alike_before_and_after_them(
    policy: Policy, steps: list[Step], edit: str, lag: int
) -> None:
    ledger = ShardLedger(policy)
    steps = [step for step in steps if step.kind != "write"]
    now = live(ledger, [*BEGIN, *steps])
    ledger.write(max(len(ledger.entries) - lag, 3))
    EDITS[edit](ledger.database.packs)

    before = ledger.load(now)
    ledger.write()
    after = ledger.load(now)

    assert essence(before.account, now, policy) == essence(after.account, now, policy)
    assert before.quarantined == after.quarantined == ()


def test_a_bare_document_is_a_pack_that_never_expires() -> None:
    ledger = ShardLedger()
    ledger.database.packs["foreign"] = written_by_another_program()
    ledger.account = ledger.load(NOON).account

    (pack,) = ledger.account.packs

    assert (pack.spendable, pack.priority, pack.category) == (100, 50, Category.PAID)
    assert pack.expires_at is None
    assert ledger.status(NOON).pack_credits == 100


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": -1}, "an amount is negative"),
        ({"spendable_credits": "100"}, "spendable_credits is not a number"),
        (
            {"spendable_credits": None},
            "of amount, system_portion, spendable_credits two are missing",
        ),
        ({"credits_used": 1.5}, "credits_used is not a whole number"),
        ({"priority": 101}, "priority is more than 100"),
        ({"priority": True}, "priority is not a number"),
        ({"category": "stolen"}, "category is unknown"),
        ({"expires_at": "never"}, "expires_at is not a date"),
        ({"created_at": 5}, "created_at is not a date"),
    ],
)
def test_what_cannot_be_read_is_set_aside_and_the_others_count(
    changes: Document, reason: str
) -> None:
    packs, quarantined = read_packs(
        [written_by_another_program(**changes), written_by_another_program(_id="another")]
    )

    assert [pack.pack_id for pack in packs] == ["another"]
    assert [(one.document_id, one.reason) for one in quarantined] == [("foreign", reason)]


@pytest.mark.parametrize(
    "changes", [{"credits_used": 101}, {"spendable_credits": 0, "credits_used": 1}]
)
def test_a_pack_lowered_below_its_use_has_nothing_left_and_is_named(changes: Document) -> None:
    (pack,), quarantined = read_packs([written_by_another_program(**changes)])

    assert pack.left == 0
    reason = "credits_used is more than spendable_credits: nothing is left"
    assert [(one.document_id, one.reason) for one in quarantined] == [("foreign", reason)]


def test_no_other_source_pays_for_a_pack_that_was_lowered() -> None:
    ledger = ShardLedger()
    ledger.database.packs["lowered"] = written_by_another_program(_id="lowered", credits_used=130)
    ledger.database.packs["sound"] = written_by_another_program(_id="sound")
    ledger.account = ledger.load(NOON).account

    assert ledger.status(NOON).remaining_credits == 100


def test_a_year_beyond_all_others_means_that_it_never_expires() -> None:
    far = utc("9999-12-31")

    packs, _ = read_packs([written_by_another_program(expires_at=far)])

    assert packs[0].expires_at is None


def test_a_hold_that_says_nothing_readable_holds_nothing_and_is_named() -> None:
    packs, quarantined = read_packs([written_by_another_program(holds=[{"hold_id": "x"}])])

    assert packs[0].left == Credits(100)
    assert [one.document_id for one in quarantined] == ["foreign"]

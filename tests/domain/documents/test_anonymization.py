"""What is left of texts and entries once a random id has taken the place of a user's."""

import json
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents.anonymization import RANDOM_BYTES, Renaming, anonymous_id, key_digests
from domain.documents.journal import entry_document, read_entry
from domain.evolve import replay
from domain.holds import PlaceHold, ReleaseHold, SettleHold, holder_of, make_hold_id
from domain.messages import Entry
from domain.values import Credits, Policy, UserId, is_object_id, parse_user_id
from tests.builders.authors import Author, add_credit, use
from tests.builders.ledger import Ledger
from tests.builders.lives import POLICIES, STEPS, Step, live
from tests.traces import Forms, paths

ADA, ANON = UserId("ada-lovelace"), UserId("anon-0123456789abcdef01234567")
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def renaming(old: str = ADA, new: str = ANON) -> Renaming:
    return Renaming(UserId(old), UserId(new), old, new)


@pytest.mark.parametrize(
    ("old", "text", "left"),
    [
        ("ada", "ada", "NEW"),
        ("ada", "order of ada, paid", "order of NEW, paid"),
        ("ada", "ada_2026-03", "NEW_2026-03"),
        ("ada", "Canada", "Canada"),  # A short id is looked for as a word only.
        (
            "10",
            "2026-03-10 and 2026-03-10T10:10:10.10+10:10, 10-10",
            "2026-03-10 and 2026-03-10T10:10:10.10+10:10, NEW-NEW",
        ),
        ("2026", "12026-03-10 2026-03-101 2026-03", "12026-03-10 2026-03-101 2026-03"),
        ("test", "cs_test_a1B2c3D4e5F6g7H8 of test", "cs_test_a1B2c3D4e5F6g7H8 of NEW"),
        ("in", "in_1MtHbELkdIwHu7ixl4OzzPMv il_1", "in_1MtHbELkdIwHu7ixl4OzzPMv il_1"),
        ("in", "in_1, in", "NEW_1, NEW"),
        ("ada-lovelace", "xada-lovelacey", "xNEWy"),
        ("65f0c1a2b3d4e5f601020304", "user 65F0C1A2B3D4E5F601020304", "user NEW"),
        ("a+b.c(d]", "a+b.c(d] a+bxc(d]", "NEW a+bxc(d]"),
    ],
)
def test_a_text_names_the_new_id_where_it_named_the_old_one(old: str, text: str, left: str) -> None:
    assert renaming(old, "NEW").text(text) == left


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=60))
def test_the_id_of_a_hold_names_its_new_user_whoever_the_old_one_was(name: str) -> None:
    old = parse_user_id(name)
    hold_id, other = (make_hold_id(NOON, u, "k", "chat") for u in (old, UserId("other-user")))

    left = renaming(old).text(f"expire {hold_id}")

    renamed = left.rpartition(" ")[2]
    assert holder_of(renamed) == ANON
    assert renamed[:24] == hold_id[:24]
    if old not in other:
        assert renaming(old).text(other) == other


def test_words_of_our_own_stay_though_a_user_is_called_so() -> None:
    said = {
        "refusal": {"reason": "insufficient_credits"},
        "service_type": "chat",
        "status": "active",
    }

    for user in ("credits", "chat", "active", "insufficient_credits"):
        assert renaming(user).value(said) == said


def kept(said: Any) -> Any:
    """Return what nobody's name is in, nor what a caller alone knew."""
    gone = {"details", "session_id", "transaction_id"}
    match said:
        case dict():
            return {name: kept(held) for name, held in said.items() if name not in gone}
        case list():
            return [kept(held) for held in said]
        case _:
            return said


@given(
    POLICIES,
    STEPS,
    st.sampled_from(["00", "03", "10", "12", "15", "30", "2026", "0.3", "2026-03", "2026-03-02"]),
)
def test_days_instants_and_rates_stay_though_a_user_is_called_like_a_part_of_them(
    policy: Policy, steps: list[Step], user: str
) -> None:
    ledger = Ledger(policy)
    live(ledger, steps)
    anybody = renaming(user, "NEW")

    for entry in ledger.entries:
        document = entry_document(entry)
        body = document["body"]
        assert kept(json.loads(anybody.json(body))) == kept(json.loads(body))
        assert kept(anybody.value(document["events"])) == kept(document["events"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("paid_on", "2026-03-10"),
        ("month", "2026-10"),
        ("as_of", "2026-03-10T10:10:10Z"),
        ("as_of", "2026-03-10T12:00:00.000010+10:00"),
        ("written_by_others", "2026-03-10 10:10"),
        ("price", "10.50"),
        ("allotment_days", "10"),
        ("allotment_credits", "10"),
        ("allotment_expires_days", "10"),
        ("allotment_priority", "10"),
        ("consumer", "10"),
        ("price_id", "pro-10"),
        ("by_kind", {"input": "10", "output": "0.10"}),
        ("freed_packs", [["10", 5]]),
    ],
)
def test_a_number_that_is_no_name_stays(name: str, value: Any) -> None:
    assert renaming("10", "NEW").value({name: value}) == {name: value}


def test_a_number_that_is_a_name_is_renamed() -> None:
    said = {"user_id": "10", "note": "for 10, on 2026-03-10", "tags": ["10"], "amount": 10}

    assert renaming("10", "NEW").value(said) == {
        "user_id": "NEW",
        "note": "for NEW, on 2026-03-10",
        "tags": ["NEW"],
        "amount": 10,
    }


def test_details_and_sessions_are_emptied_wherever_they_are() -> None:
    said = {"holds": [{"details": "{}", "session_id": "s"}], "details": {"deep": 1}, "amount": 5}

    assert renaming().value(said) == {
        "holds": [{"details": None, "session_id": None}],
        "details": None,
        "amount": 5,
    }


def life() -> list[Entry]:
    """Return the entries of a user who had one of everything."""
    author = Author(ADA)
    author.now = NOON
    entries = [
        author.do(add_credit(ADA, 3000, 30, f"t {ADA} 1"), f"first of {ADA}"),
        author.use(30),
        author.do(
            PlaceHold(ADA, "chat", Credits(20), session_id="s", details='{"a": 1}'), "key-h1"
        ),
        author.do(PlaceHold(ADA, "chat", Credits(10)), "key-h2"),
        author.do(PlaceHold(ADA, "chat", Credits(5)), "key-h3"),
    ]
    first, second = (make_hold_id(NOON, ADA, key, "chat") for key in ("key-h1", "key-h2"))
    entries += [
        author.do(SettleHold(ADA, first, Credits(15)), "key-of-settling"),
        author.do(ReleaseHold(ADA, second), "key-of-releasing"),
        author.do(use(ADA, 5000), "key-of-too-much"),
    ]
    return entries


def test_every_entry_reads_back_as_the_new_users_and_comes_to_the_same_account() -> None:
    entries = life()
    renamed = [renaming().entry(entry_document(entry)) for entry in entries]

    read = [read_entry(document) for document in renamed]

    before = replay(Author(ADA).account, entries)
    after = replay(Author(ANON).account, read)
    now = NOON
    assert [entry.seq for entry in read] == [entry.seq for entry in entries]
    assert [entry.at for entry in read] == [entry.at for entry in entries]
    for old, new in zip(before.subscriptions, after.subscriptions, strict=True):
        assert new.subscription_id == old.subscription_id
        assert (new.day and new.day.used) == (old.day and old.day.used)
        assert sum(h.credit_amount for h in new.holds) == sum(h.credit_amount for h in old.holds)
    assert {holder_of(h.hold_id) for s in after.subscriptions for h in s.holds} == {ANON}
    assert before.as_of(now, None).seq == after.as_of(now, None).seq


def test_no_entry_names_the_user_or_says_what_only_a_caller_knew() -> None:
    for entry in life():
        renamed = renaming().entry(entry_document(entry))

        assert [*paths(renamed, Forms.of(ADA))] == []
        assert entry.key not in str(renamed)
        assert renamed["fingerprint"] != entry.fingerprint
        for name in ("body", "answer"):
            said: dict[str, Any] = json.loads(renamed[name] or "{}")
            assert said.get("details") is None
            assert said.get("session_id") is None


def test_an_entry_that_cannot_be_read_names_nobody_afterwards() -> None:
    spoilt = entry_document(life()[1]) | {"body": f"{{{ADA}", "answer": 7, "events": "none"}

    renamed = renaming().entry(spoilt)

    assert [*paths(renamed, Forms.of(ADA))] == []


def new_id(user_id: UserId) -> UserId:
    return anonymous_id(user_id, token_hex(RANDOM_BYTES))


def test_a_random_id_is_valid_and_of_the_old_ones_type() -> None:
    plain = new_id(ADA)
    object_id = new_id(UserId("65f0c1a2b3d4e5f601020304"))

    assert parse_user_id(plain) == plain
    assert plain.startswith("anon-")
    assert is_object_id(object_id)
    assert len({new_id(ADA) for _ in range(100)}) == 100


def test_the_digests_of_a_key_tell_users_apart_and_only_the_key_can_test_them() -> None:
    found, used = key_digests("k", ADA)

    assert key_digests("k", ADA) == (found, used)
    assert key_digests("k", UserId("bob"))[0] == found
    assert key_digests("k", UserId("bob"))[1] != used
    assert key_digests("other", ADA)[1] != used

"""The journal reads back what was written, whatever was decided."""

import json
from collections.abc import Callable
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.charges import Opening, UsageRecorded
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.documents.journal import (
    KINDS,
    SpoiltEntry,
    command_id,
    entry_document,
    entry_id,
    read_entry,
    read_or_name,
)
from domain.eras import Era
from domain.grants import Grant, Void
from domain.holds import (
    Hold,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    LapsedHold,
)
from domain.messages import (
    Change,
    CommandRefused,
    CreditsAdded,
    DayOpened,
    Entry,
    Limit,
    Refusal,
    Rejection,
    Shortfall,
    SubscriptionChanged,
    SubscriptionExpired,
)
from domain.pack_messages import PackAdded, PackExpired, RefundedPack
from domain.packs import Category, Pack
from domain.payments import Payment
from domain.pricing import Price
from domain.sources import PackShare
from domain.stripe import (
    STATUS_OF,
    GrantsVoided,
    StripeItem,
    StripeLink,
    StripeStateApplied,
    VoidedGrant,
)
from domain.usage_facts import LABELS
from domain.values import CREDITS_MAX, Credits, Status
from tests.builders.ledger import NOON, USER

TEXT = st.text(max_size=20)
AMOUNTS = st.integers(-CREDITS_MAX, CREDITS_MAX).map(Credits)
INSTANTS = st.integers(0, 10**12).map(lambda ms: NOON + timedelta(milliseconds=ms))
DAYS = INSTANTS.map(lambda instant: instant.date())
FACTS = {"token_count": AMOUNTS | st.none()} | dict.fromkeys((*LABELS, "details"), TEXT | st.none())
VOIDS = st.lists(st.builds(Void, DAYS, st.integers(0, 10), st.just(10)), max_size=2).map(tuple)
GRANTS = st.builds(
    Grant,
    TEXT | st.none(),
    AMOUNTS,
    AMOUNTS,
    DAYS,
    st.integers(1, 3660),
    TEXT | st.none(),
    VOIDS,
    TEXT | st.none(),
)
VOIDED = st.lists(
    st.builds(VoidedGrant, TEXT, VOIDS, AMOUNTS, AMOUNTS, st.integers(0, 9)), max_size=2
).map(tuple)
REFUNDED = st.lists(
    st.builds(RefundedPack, TEXT, st.integers(-9, 9).map(Credits), st.integers(0, 9)), max_size=2
).map(tuple)
LINKS = st.builds(
    StripeLink,
    TEXT,
    TEXT | st.none(),
    st.sampled_from(sorted(STATUS_OF)),
    INSTANTS | st.none(),
    INSTANTS | st.none(),
    INSTANTS | st.none(),
    INSTANTS | st.none(),
    st.lists(st.builds(StripeItem, TEXT, st.integers(0, 9)), max_size=2).map(tuple),
    st.integers(0, 9),
    INSTANTS | st.none(),
)
OPENINGS = st.builds(Opening, TEXT, DAYS, INSTANTS, AMOUNTS, AMOUNTS)
REFUSALS = st.builds(
    Refusal,
    st.sampled_from(Rejection),
    st.none()
    | st.builds(Shortfall, st.sampled_from(Limit), AMOUNTS, AMOUNTS, INSTANTS | st.none()),
)
PAYMENTS = st.builds(Payment, TEXT, TEXT, AMOUNTS, TEXT)
SHARES = st.lists(st.builds(PackShare, TEXT, AMOUNTS), max_size=3).map(tuple)
CREDITS_ADDED = st.builds(
    CreditsAdded,
    GRANTS,
    PAYMENTS,
    OPENINGS,
    INSTANTS,
    INSTANTS,
    TEXT,
    st.booleans(),
    st.booleans(),
    st.lists(GRANTS, max_size=3).map(tuple),
    AMOUNTS,
    AMOUNTS,
)
PRICES = st.builds(
    Price,
    TEXT,
    TEXT | st.none(),
    st.decimals(0, 10**12, places=12),
    st.integers(1, 10**9),
    INSTANTS | st.none(),
    INSTANTS | st.none(),
)
USAGE_RECORDED = st.builds(
    UsageRecorded,
    TEXT,
    OPENINGS | st.none(),
    TEXT,
    AMOUNTS,
    INSTANTS,
    st.none() | PRICES,
    SHARES,
    AMOUNTS,
    TEXT | st.none(),
    **FACTS,
)
HOLDS = st.builds(
    Hold,
    TEXT,
    DAYS,
    AMOUNTS,
    INSTANTS,
    TEXT,
    INSTANTS,
    **FACTS,
)
PACKS = st.builds(
    Pack,
    TEXT,
    AMOUNTS,
    st.integers(0, 100),
    st.sampled_from(Category),
    INSTANTS,
    INSTANTS | st.none(),
    AMOUNTS,
    st.lists(HOLDS, max_size=2).map(tuple),
    TEXT | st.none(),
)
REOPENED = st.lists(OPENINGS, max_size=3).map(tuple)
CHANGES: dict[str, st.SearchStrategy[Change]] = {
    "credits_added": CREDITS_ADDED,
    "usage_recorded": USAGE_RECORDED,
    "day_opened": st.builds(DayOpened, OPENINGS),
    "command_refused": st.builds(CommandRefused, REFUSALS),
    "subscription_changed": st.builds(
        SubscriptionChanged,
        TEXT,
        st.sampled_from(Status) | st.none(),
        INSTANTS | st.none(),
        st.lists(GRANTS, max_size=3).map(tuple),
        TEXT | st.none(),
        TEXT | st.none(),
        st.lists(st.builds(Era, TEXT, DAYS), max_size=3).map(tuple),
    ),
    "subscription_expired": st.builds(SubscriptionExpired, TEXT, INSTANTS),
    "stripe_state_applied": st.builds(
        StripeStateApplied,
        TEXT,
        LINKS | st.none(),
        st.sampled_from(Status) | st.none(),
        INSTANTS,
        VOIDED,
        st.lists(GRANTS, max_size=3).map(tuple),
        st.booleans(),
        INSTANTS,
        TEXT,
    ),
    "grants_voided": st.builds(GrantsVoided, TEXT | st.none(), VOIDED, REFUNDED),
    "hold_placed": st.builds(HoldPlaced, HOLDS, OPENINGS | st.none(), SHARES),
    "hold_settled": st.builds(
        HoldSettled,
        TEXT,
        USAGE_RECORDED,
        REOPENED,
        AMOUNTS,
        AMOUNTS,
        st.lists(TEXT, max_size=2).map(tuple),
    ),
    "hold_freed": st.builds(
        HoldFreed,
        TEXT,
        AMOUNTS,
        OPENINGS | st.none(),
        REOPENED,
        st.booleans(),
        SHARES,
        st.none() | st.builds(LapsedHold, HOLDS, INSTANTS),
    ),
    "pack_added": st.builds(PackAdded, PACKS, AMOUNTS, AMOUNTS, PAYMENTS),
    "pack_expired": st.builds(PackExpired, TEXT, INSTANTS, AMOUNTS),
    "usage_reversed": st.builds(
        UsageReversed,
        TEXT,
        TEXT,
        AMOUNTS,
        TEXT,
        TEXT | st.none(),
        OPENINGS | st.none(),
        REOPENED,
        SHARES,
        AMOUNTS,
        AMOUNTS,
        AMOUNTS,
    ),
    "credits_adjusted": st.builds(
        CreditsAdjusted,
        TEXT,
        AMOUNTS,
        TEXT,
        PACKS | st.none(),
        OPENINGS | st.none(),
        AMOUNTS,
        SHARES,
    ),
}


def entry_of(change: Change, answer: str | None = "{}") -> Entry:
    return Entry(USER, 7, NOON, "key", "fingerprint", change, answer)


def test_there_is_evidence_for_every_kind_of_change() -> None:
    assert list(CHANGES) == list(KINDS)


@given(st.sampled_from(list(CHANGES)).flatmap(lambda kind: st.tuples(st.just(kind), CHANGES[kind])))
def test_every_change_reads_back_as_it_was_written(case: tuple[str, Change]) -> None:
    kind, change = case

    document = entry_document(entry_of(change))

    assert document["kind"] == kind
    assert read_entry(document) == entry_of(change)
    assert type(read_entry(document).change) is type(change)
    json.dumps(document["body"])  # Plain text and numbers: nothing that a vendor must know.


def test_an_entry_of_another_time_zone_reads_back_in_utc() -> None:
    document = entry_document(entry_of(CommandRefused(Refusal(Rejection.DUPLICATE_PAYMENT)), None))
    document["at"] = NOON.astimezone(timezone(timedelta(hours=13)))

    entry = read_entry(document)

    assert entry.at == NOON
    assert entry.at.utcoffset() == timedelta(0)
    assert entry.answer is None


def test_an_entry_is_named_by_user_and_number_and_by_user_and_key() -> None:
    document = entry_document(entry_of(CommandRefused(Refusal(Rejection.DUPLICATE_PAYMENT))))

    assert document["_id"] == entry_id(USER, 7) == "ada 7"
    assert document["command_id"] == command_id(USER, "key") == "ada key"


SECRET = "asked for by phone"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:-40],
        lambda body: body.removesuffix("}"),
        lambda body: body.replace(f'"{SECRET}"', f'["{SECRET}"]'),
        lambda body: body.replace('"UTC"', f'{{"{SECRET}": 1}}'),
        lambda body: f'"{SECRET}"',
    ],
)
def test_why_an_entry_cannot_be_read_says_nothing_of_what_it_says(
    spoil: Callable[[str], str],
) -> None:
    eras = (Era("UTC", NOON.date()),)
    change = SubscriptionChanged("s", None, None, (), SECRET, "Asia/Tokyo", eras)
    document = entry_document(entry_of(change))
    document["body"] = spoil(document["body"])

    spoilt = read_or_name(document)

    assert isinstance(spoilt, SpoiltEntry)
    assert not any(SECRET[at : at + 4] in spoilt.reason for at in range(len(SECRET) - 3))


@pytest.mark.parametrize("seq", ["", "-1", "1.0", "²", "9" * 5_000])
def test_a_document_whose_id_has_no_number_is_nobodys_entry(seq: str) -> None:
    assert read_or_name({"_id": f"{USER} {seq}"}) is None


def test_an_answer_that_is_nested_too_deep_is_no_answer() -> None:
    change = CommandRefused(Refusal(Rejection.DUPLICATE_PAYMENT))
    document = entry_document(entry_of(change)) | {"answer": "[" * 100_000}

    assert read_entry(document).answer is None

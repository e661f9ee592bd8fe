"""Packs that Stripe was paid for, and what refunds take of them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.corrections import AdjustCredits
from domain.documents.journal import entry_document, read_entry
from domain.documents.recovery import recover
from domain.events import EventType
from domain.holds import HoldPlaced, PlaceHold, ReleaseHold, SettleHold
from domain.messages import AddCredit, Refusal, Rejection
from domain.pack_messages import AddPack, ExpirePack, PackAdded
from domain.packs import PACKS_MAX, Pack
from domain.recalls import NOTHING_BESIDE
from domain.stripe import GrantsVoided, VoidGrants
from domain.values import NO_CREDITS, Credits
from tests.builders.ledger import ALL_SPENDABLE, NOON, ONE_DAY, USER, Ledger, pay
from tests.fakes.database import Database

PAYMENT = "cs_1"


@dataclass
class Bought:
    """A user with one pack of Stripe's, and no subscription."""

    ledger: Ledger
    version: int = 0

    @property
    def pack(self) -> Pack:
        (pack,) = self.ledger.account.packs
        return pack

    def refund(
        self, kept: int, parts: int, now: datetime = NOON, version: int | None = None
    ) -> None:
        """Tell what is kept: under the next version, where none is named."""
        self.version += version is None
        number = self.version if version is None else version
        self.ledger.do(VoidGrants(USER, PAYMENT, kept, parts, number), now)

    def hold(self, amount: int) -> str:
        placed = self.ledger.do(PlaceHold(USER, "chat", Credits(amount)), NOON)
        assert isinstance(placed, HoldPlaced)
        return placed.hold.hold_id


def bought(amount: int = 1000, expires_at: datetime | None = None) -> Bought:
    ledger = Ledger()
    command = AddPack(USER, Credits(amount), pay(PAYMENT), expires_at, paid_to_stripe=True)
    assert isinstance(ledger.do(command, NOON), PackAdded)
    return Bought(ledger)


@pytest.mark.parametrize(
    ("used", "kept", "parts", "left"),
    [
        (0, 1, 2, 500),
        (0, 0, 1, 0),
        (0, 2, 3, 666),  # What is kept is rounded down.
        (300, 1, 2, 200),
        (300, 8, 10, 500),
        (600, 1, 2, 0),  # 600 are used: 400 can be taken.
        (1000, 0, 1, 0),
        (0, 5, 5, 1000),
    ],
)
def test_a_refund_takes_its_share_of_a_pack_and_never_what_is_used(
    used: int, kept: int, parts: int, left: int
) -> None:
    life = bought()
    life.ledger.charge(used, NOON)

    life.refund(kept, parts)

    pack = life.pack
    assert (pack.left, pack.used) == (left, used)
    assert (pack.granted, pack.refunded) == (1000, 1000 - used - left)


def test_refunds_of_one_payment_are_told_as_one_share_and_the_newest_counts() -> None:
    life = bought()

    life.refund(3, 4, version=2)
    life.refund(1, 4, version=1)
    assert life.pack.left == 750

    life.refund(1, 4, version=3)
    assert life.pack.left == 250

    life.refund(4, 4, version=4)
    life.refund(0, 4, version=4)
    assert (life.pack.left, life.pack.refunded) == (1000, 0)


def test_that_all_came_back_is_kept_so_an_older_refund_takes_nothing() -> None:
    life = bought()

    life.refund(1, 1, version=2)
    life.refund(0, 1, version=1)

    assert (life.pack.left, life.pack.share_version) == (1000, 2)


def test_what_is_held_is_not_taken_and_stays_when_it_is_freed() -> None:
    life = bought()
    hold_id = life.hold(800)

    life.refund(0, 1)
    assert (life.pack.left, life.pack.held, life.pack.refunded) == (0, 800, 200)

    life.ledger.do(ReleaseHold(USER, hold_id), NOON)
    assert life.pack.left == 800

    life.refund(0, 1)
    assert (life.pack.left, life.pack.refunded) == (0, 1000)


def test_what_comes_back_is_what_was_taken_and_no_more() -> None:
    life = bought()
    life.ledger.charge(900, NOON)

    life.refund(0, 1)
    assert (life.pack.left, life.pack.refunded) == (0, 100)

    life.refund(95, 100)
    assert (life.pack.left, life.pack.refunded) == (50, 50)

    life.refund(1, 1)
    assert (life.pack.left, life.pack.refunded) == (100, 0)


def test_what_an_adjustment_took_is_not_taken_again() -> None:
    life = bought()
    life.ledger.do(AdjustCredits(USER, Credits(-700), None, "wrong"), NOON)

    life.refund(1, 2)

    pack = life.pack
    assert (pack.left, pack.refunded, pack.taken_back) == (0, 300, 700)


def test_a_pack_that_has_expired_stays_as_it_is() -> None:
    life = bought(expires_at=NOON + ONE_DAY)
    later = NOON + 2 * ONE_DAY
    life.ledger.do(ExpirePack(USER, life.pack.pack_id), later)
    before = life.ledger.account

    life.refund(0, 1, later)

    assert life.ledger.account == before


def test_one_entry_takes_from_grants_and_packs_of_one_payment() -> None:
    ledger = Ledger()
    ledger.do(AddCredit(USER, Credits(1000), 10, pay("in_1 il_a")), NOON)
    ledger.do(AddPack(USER, Credits(500), pay("in_1 il_b"), paid_to_stripe=True), NOON)
    ledger.do(AddPack(USER, Credits(70), pay("in_11"), paid_to_stripe=True), NOON)

    voided = ledger.do(VoidGrants(USER, "in_1", 1, 2, 1), NOON)

    assert isinstance(voided, GrantsVoided)
    assert len(voided.voided) == len(voided.packs) == 1
    assert sorted(pack.left for pack in ledger.account.packs) == [70, 250]
    assert ledger.account.subscriptions[0].spendable == 100 + 450
    types = [event.type for event in ledger.entries[-1].events]
    assert types == [EventType.CHANGED]  # Of the subscription: packs have none of their own.


def test_a_pack_is_taken_back_though_the_subscription_of_its_payment_is_over() -> None:
    ledger = Ledger()
    ledger.do(AddCredit(USER, Credits(1000), 10, pay("in_1 il_a")), NOON)
    ledger.do(AddPack(USER, Credits(500), pay("in_1 il_b"), paid_to_stripe=True), NOON)

    voided = ledger.do(VoidGrants(USER, "in_1", 0, 2, 1), NOON + 30 * ONE_DAY)

    assert isinstance(voided, GrantsVoided)
    assert (voided.subscription_id, voided.voided) == (None, ())
    assert ledger.account.packs[0].left == 0


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (50, []),
        (9, [EventType.LOW_CREDITS]),
        (0, [EventType.LOW_CREDITS, EventType.DEPLETED]),
    ],
)
def test_a_refund_that_leaves_little_or_nothing_is_told(kept: int, told: list[EventType]) -> None:
    life = bought()
    life.ledger.charge(80, NOON)

    life.refund(kept, 100)

    assert [event.type for event in life.ledger.entries[-1].events] == told


def test_a_payment_that_nothing_was_bought_with_is_refused() -> None:
    life = bought()

    refused = life.ledger.do(VoidGrants(USER, "cs_2", 0, 1, 1), NOON)

    assert refused == Refusal(Rejection.NO_SUCH_GRANT)


def test_what_stripe_was_paid_for_is_added_however_late_and_however_many_there_are() -> None:
    ledger = Ledger()
    ledger.fill_packs(PACKS_MAX, NOON)

    late = AddPack(USER, Credits(7), pay(PAYMENT), NOON - timedelta(days=1), paid_to_stripe=True)

    assert isinstance(ledger.do(AddPack(USER, Credits(1), pay("more")), NOON), Refusal)
    assert isinstance(ledger.do(late, NOON), PackAdded)
    assert ledger.do(replace(late, amount=Credits(8)), NOON) == Refusal(Rejection.DUPLICATE_PAYMENT)


def test_an_entry_of_before_there_were_packs_is_read() -> None:
    ledger = Ledger()
    ledger.do(AddCredit(USER, Credits(1000), 10, pay("in_1")), NOON)
    ledger.do(VoidGrants(USER, "in_1", 1, 2, 1), NOON)
    document = entry_document(ledger.entries[-1])

    assert ',"packs":[]' in document["body"]
    document["body"] = document["body"].replace(',"packs":[]', "")

    assert read_entry(document) == ledger.entries[-1]


# --- any life ------------------------------------------------------------------------------

AMOUNTS = st.integers(1, 700)
LATE = {"refund too late": 1, "refund again": 0}
STEPS = st.one_of(
    st.tuples(st.just("charge"), AMOUNTS, st.just(1)),
    st.tuples(st.just("hold"), AMOUNTS, st.just(1)),
    st.tuples(st.just("settle"), AMOUNTS, st.just(1)),
    st.tuples(st.just("release"), st.just(1), st.just(1)),
    st.tuples(st.just("adjust"), AMOUNTS, st.just(1)),
    st.tuples(st.just("refund"), st.integers(0, 9), st.integers(1, 9)),
    st.tuples(st.just("refund too late"), st.integers(0, 9), st.integers(1, 9)),
    st.tuples(st.just("refund again"), st.integers(0, 9), st.integers(1, 9)),
)


def take(life: Bought, holds: list[str], step: tuple[str, int, int]) -> None:
    kind, amount, parts = step
    if kind in LATE:
        life.refund(min(amount, parts), parts, version=max(life.version - LATE[kind], 0))
    elif kind == "refund":
        life.refund(min(amount, parts), parts)
    elif kind == "charge":
        life.ledger.charge(amount, NOON)
    elif kind == "adjust":
        life.ledger.do(AdjustCredits(USER, Credits(-amount), None, "r"), NOON)
    else:
        take_on_hold(life, holds, kind, amount)


def take_on_hold(life: Bought, holds: list[str], kind: str, amount: int) -> None:
    if kind == "hold":
        placed = life.ledger.do(PlaceHold(USER, "chat", Credits(amount)), NOON)
        holds += [placed.hold.hold_id] if isinstance(placed, HoldPlaced) else []
    elif holds and kind == "settle":
        life.ledger.do(SettleHold(USER, holds.pop(), Credits(amount)), NOON)
    elif holds:
        life.ledger.do(ReleaseHold(USER, holds.pop()), NOON)


@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_a_refund_mints_nothing_and_takes_nothing_used_or_held(
    steps: list[tuple[str, int, int]],
) -> None:
    life, holds, database = bought(), list[str](), Database(USER)
    database.apply(life.ledger.entries)
    for step in steps:
        before, count = life.pack, len(life.ledger.entries)

        take(life, holds, step)

        pack = life.pack
        assert pack.granted == pack.left + pack.used + pack.held + pack.refunded + pack.taken_back
        assert pack.granted == 1000
        assert min(pack.left, pack.refunded, pack.taken_back) >= 0
        if step[0].startswith("refund"):
            assert (pack.used, pack.held, pack.taken_back) == (
                before.used,
                before.held,
                before.taken_back,
            )
        if step[0] in LATE:
            assert pack == before
        database.apply(life.ledger.entries[count:])
        whole = recover(database.stored([]), NOON, ALL_SPENDABLE, NOTHING_BESIDE).account
        assert whole.packs == life.ledger.account.packs
    assert life.ledger.status(NOON).pack_credits == max(life.pack.left, NO_CREDITS)


MIXED = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["charge", "refund", "late"]), st.integers(0, 9)),
    max_size=20,
)


@given(MIXED, st.integers(0, 25))
def test_a_payment_for_days_and_packs_is_the_same_live_replayed_and_read_back(
    steps: list[tuple[int, str, int]], written: int
) -> None:
    ledger, now = Ledger(), NOON
    ledger.do(AddCredit(USER, Credits(1000), 10, pay("in_1 a")), now)
    for name, days in (("in_1 b", 5), ("in_1 c", None)):
        until = None if days is None else NOON + days * ONE_DAY
        ledger.do(AddPack(USER, Credits(500), pay(name), until, paid_to_stripe=True), now)
    for hours, kind, number in steps:
        now += timedelta(hours=hours)
        if kind == "charge":
            ledger.charge(number * 40, now)
        else:
            version = ledger.asked - (5 if kind == "late" else 0)
            ledger.do(VoidGrants(USER, "in_1", number, 9, max(version, 0)), now)

    database = Database(USER)
    database.apply(ledger.entries[:written])
    for lagging in (ledger.entries[written:], []):
        whole = recover(database.stored(lagging), now, ALL_SPENDABLE, NOTHING_BESIDE).account
        assert whole.packs == ledger.account.packs
        assert [s.spendable for s in whole.subscriptions] == [
            s.spendable for s in ledger.account.subscriptions
        ]
        database.apply(ledger.entries[written:] if lagging else [])
    for pack in ledger.account.packs:
        assert pack.left >= 0
        assert pack.granted == 500

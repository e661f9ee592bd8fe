"""When a refused charge would pass: as a walk from midnight to midnight tells it, one by one."""

from datetime import date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.account import Account
from domain.coverage import remaining_at
from domain.local_days import midnight
from domain.messages import Limit, Refusal, Rejection
from domain.values import Credits, Policy, Status
from tests.builders.ledger import NOON, ONE_DAY
from tests.builders.lives import ZONES
from tests.builders.shard_ledger import ShardLedger

DAYS = st.integers(0, 12)
PACKS = st.lists(
    st.tuples(st.integers(1, 60), st.none() | st.integers(1, 12 * 24), st.integers(0, 100)),
    max_size=4,
)
HOLDS = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 12 * 24)), max_size=4)


def first_midnight_that_covers(
    account: Account, required: int, now: datetime, policy: Policy
) -> datetime | None:
    """Walk through the days of the subscription: nothing else is spent."""
    current = account.current(now)
    assert current is not None
    day: date = current.today(now) + ONE_DAY
    while midnight(day, current.timezone) < current.end:
        begins = midnight(day, current.timezone)
        if remaining_at(account.as_of(begins, policy.rollover_cap), begins, policy) >= required:
            return begins
        day += ONE_DAY
    return None


@given(
    st.builds(
        Policy,
        st.just(0),
        st.sampled_from([None, Credits(0), Credits(15), Credits(60)]),
        st.sampled_from(ZONES),
    ),
    st.integers(0, 200),
    st.integers(1, 14),
    PACKS,
    HOLDS,
    st.integers(0, 120),
    st.integers(0, 60),
    st.integers(1, 250),
)
def test_a_refusal_tells_the_first_midnight_that_covers(  # noqa: PLR0917 - a life
    policy: Policy,
    amount: int,
    days: int,
    packs: list[tuple[int, int | None, int]],
    holds: list[tuple[int, int]],
    recorded: int,
    adjusted: int,
    required: int,
) -> None:
    ledger = ShardLedger(policy)
    ledger.add(amount, days, NOON)
    for spendable, hours, priority in packs:
        expires_at = None if hours is None else NOON + timedelta(hours=hours)
        ledger.pack(spendable, NOON, expires_at=expires_at, priority=priority)
    for held, hours in holds:
        ledger.hold(held, NOON, seconds=3600 * hours)
    ledger.record(recorded, NOON)
    ledger.adjust(NOON, by=-adjusted, allow_debt=True)

    decision = ledger.charge(required, NOON)

    if isinstance(decision, Refusal):
        expected = first_midnight_that_covers(ledger.account, required, NOON, policy)
        assert decision.reason is Rejection.INSUFFICIENT_CREDITS
        assert decision.shortfall is not None
        assert decision.shortfall.available_at == expected
        limit = Limit.SUBSCRIPTION if expected is None else Limit.DAILY
        assert decision.shortfall.limit is limit
        assert decision.shortfall.remaining_credits == ledger.status(NOON).remaining_credits


@given(PACKS, HOLDS, st.sampled_from(Status), st.integers(0, 250))
def test_a_refusal_that_no_day_can_help_names_none(
    packs: list[tuple[int, int | None, int]],
    holds: list[tuple[int, int]],
    status: Status,
    required: int,
) -> None:
    ledger = ShardLedger(Policy(system_portion_bps=0))
    if status in {Status.PAUSED, Status.CANCELLED, Status.EXPIRED}:
        ledger.add(100, 5, NOON)
        ledger.change(NOON, status=status)
    for spendable, hours, priority in packs:
        expires_at = None if hours is None else NOON + timedelta(hours=hours)
        ledger.pack(spendable, NOON, expires_at=expires_at, priority=priority)
    for held, hours in holds:
        ledger.hold(held, NOON, seconds=3600 * hours)
    there = ledger.status(NOON).pack_credits

    decision = ledger.charge(required, NOON)

    assert isinstance(decision, Refusal) is (required > there or there == 0)
    if isinstance(decision, Refusal):
        nothing = decision.reason is Rejection.NO_ACTIVE_SUBSCRIPTION
        assert nothing is (there == 0)
        assert decision.shortfall is not None
        assert decision.shortfall.limit is (Limit.SUBSCRIPTION if nothing else Limit.CREDITS)
        assert decision.shortfall.available_at is None

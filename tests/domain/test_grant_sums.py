"""Sums over many grants: what they say, and that none is worked out for each charge anew."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain import grant_sums
from domain.api.render import status_answer
from domain.grant_sums import CARRIED_MAX, KEPT_MAX, MANY, SUMS_MAX, sum_of, with_grants
from domain.grants import GRANTS_MAX, Grant, ended_on
from domain.subscription import Subscription
from domain.values import Credits, Policy
from tests.builders.authors import NOON, Author

TODAY = NOON.date()
DAY = timedelta(days=1)


def author_with(number: int) -> Author:
    """Return an account whose subscription has so many grants, all of them on today."""
    author = Author("ann")
    for index in range(number):
        author.add(1000 + index, 30 + index % 7, f"t-{index}")
    return author


def subscription_of(author: Author) -> Subscription:
    (subscription,) = author.account.subscriptions
    return subscription


@pytest.mark.parametrize("number", [MANY - 1, MANY, 3 * MANY])
def test_sums_of_many_are_those_of_each(number: int) -> None:
    subscription = subscription_of(author_with(number))
    grants = subscription.grants
    assert len(grants) == number

    for day in (TODAY - DAY, TODAY, TODAY + 29 * DAY, TODAY + 33 * DAY, TODAY + 400 * DAY):
        assert subscription.limit(day) == sum(grant.slice_on(day) for grant in grants)
        for first in (TODAY, TODAY + 5 * DAY):
            slices = [g.allocated_before(day) - g.allocated_before(first) for g in grants]
            assert subscription.allocated(first, day) == sum(slices)
    assert subscription.spendable == sum(grant.spendable for grant in grants)


def test_other_grants_are_summed_though_the_same_ones_were_before() -> None:
    subscription = subscription_of(author_with(MANY))
    before = subscription.limit(TODAY), subscription.spendable

    ended = tuple(grant.ended(TODAY) for grant in subscription.grants)
    after = replace(subscription, grants=ended)

    assert before > (0, 0)
    assert (after.limit(TODAY), after.spendable) == (0, 0)
    assert ended[0].voids == (ended_on(TODAY),)


@pytest.mark.parametrize("left", [-1, 0])
def test_a_grant_among_many_that_takes_credits_away_is_noticed(left: int) -> None:
    """The roll-over cap cuts each day apart where one of the grants is negative."""
    subscription = subscription_of(author_with(MANY))
    taking = replace(subscription.grants[0], grant_id=None, amount=Credits(left * 100_000))
    changed = replace(subscription, grants=(*subscription.grants[1:], taking), day=None)

    later = TODAY + 20 * DAY
    day = changed.day_at(later, Credits(500))

    capped = Credits(0)
    for number in range(20):
        capped = Credits(min(changed.limit(TODAY + number * DAY) + capped, 500))
    assert day.rolled_over == capped


@pytest.fixture
def summed(monkeypatch: pytest.MonkeyPatch) -> list[Grant]:
    """Return the grants whose slices were asked for, once for each time."""
    asked: list[Grant] = []
    slices = Grant.slice_on

    def counted(grant: Grant, day: date) -> Credits:
        asked.append(grant)
        return slices(grant, day)

    monkeypatch.setattr(Grant, "slice_on", counted)
    return asked


def test_charges_and_statuses_of_a_user_with_as_many_grants_as_can_be_sum_none_again(
    summed: list[Grant],
) -> None:
    author = author_with(GRANTS_MAX)
    author.use(1)
    summed.clear()

    for _ in range(10):
        author.use(1)
        author.use(10**12)  # Refused, and told when it will be there.
        status_answer(author.account, NOON, Policy())

    assert not summed


def test_to_add_a_grant_to_as_many_as_can_be_sums_none_of_them_again(summed: list[Grant]) -> None:
    author = author_with(GRANTS_MAX - 1)
    summed.clear()

    author.add(1000, 30, "the last")

    assert {grant.transaction_id for grant in summed} == {"the last"}


def test_sums_that_go_on_are_those_of_each_whatever_was_asked_before() -> None:
    grants = subscription_of(author_with(MANY)).grants
    days = [TODAY + number * DAY for number in range(-1, CARRIED_MAX)]
    for day in days:
        sum_of(grants, Grant.slice_on, day)
        sum_of(grants, Grant.allocated_before, day)
    taking = replace(grants[0], grant_id=None, amount=Credits(-100))

    together = with_grants(grants, (taking, grants[1]))

    assert together == (*grants, taking, grants[1])
    assert len(grant_sums._sums_of(grant_sums._Same(together))) == CARRIED_MAX
    for day in days:
        assert sum_of(together, Grant.slice_on, day) == sum(g.slice_on(day) for g in together)
        before = sum(grant.allocated_before(day) for grant in together)
        assert sum_of(together, Grant.allocated_before, day) == before


def test_sums_of_so_many_subscriptions_are_kept_and_so_many_of_each() -> None:
    grants = subscription_of(author_with(MANY)).grants
    worked_out = 0

    def part(_grant: Grant, day: date) -> int:
        nonlocal worked_out
        worked_out += 1
        return day.toordinal()

    for number in range(2 * SUMS_MAX):
        day = TODAY + number * DAY
        assert sum_of(grants, part, day) == MANY * day.toordinal()
        assert len(grant_sums._sums_of(grant_sums._Same(grants))) <= SUMS_MAX
    others = [(*grants, grants[0]) for _ in range(KEPT_MAX + 1)]
    for other in others:
        sum_of(other, part)

    assert grant_sums._sums_of.cache_info().currsize == KEPT_MAX
    known = worked_out
    sum_of(others[-1], part)
    assert worked_out == known
    sum_of(others[0], part)
    assert worked_out == known + MANY + 1

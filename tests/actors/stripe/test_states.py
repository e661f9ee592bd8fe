"""What becomes of each of Stripe's events in each state of its owner, and what must hold in all."""

import asyncio
from functools import cache

import pytest

from tests.builders.stripe_news import NEWS, OF_PACKS, OTHER
from tests.builders.stripe_states import STATES, Fate, fate, table, written

UNNAMED = [name for name in STATES if "unknown user" in name]
KNOWN = ["known, no subscription", "cancelled", "expired", "another of Stripe's", "newer is known"]
NAMES_A_USER = {"customer.created", "customer.updated"}
OUTCOMES = {"applied", "ignored", "parked", "nobody's", "dead letter"}


@cache
def fate_of(kind: str, name: str) -> Fate:
    return asyncio.run(fate(kind, name))


def test_what_becomes_of_every_event_is_what_the_docs_say() -> None:
    # Where this fails, `python -m tests.builders.stripe_states` writes what becomes of them now.
    assert (
        table({(kind, name): fate_of(kind, name) for kind in NEWS for name in STATES}) == written()
    )


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("kind", NEWS)
def test_every_event_comes_to_an_end_and_reaches_its_owner_alone(kind: str, name: str) -> None:
    found = fate_of(kind, name)

    assert found.outcome in OUTCOMES
    assert found.others == 0
    assert found.credits_after >= 0
    if found.outcome != "applied":
        assert not found.changes


@pytest.mark.parametrize("kind", NEWS)
def test_the_same_again_under_any_id_changes_nothing(kind: str) -> None:
    assert fate_of(kind, "repeated") == fate_of(kind, "active")


@pytest.mark.parametrize("name", UNNAMED)
@pytest.mark.parametrize("kind", [kind for kind in NEWS if kind not in NAMES_A_USER])
def test_what_is_nobodys_changes_nobody(kind: str, name: str) -> None:
    assert not fate_of(kind, name).changes


@pytest.mark.parametrize("name", STATES)
def test_what_is_not_handled_is_ignored(name: str) -> None:
    assert str(fate_of(OTHER, name)) == "ignored"


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("kind", OF_PACKS)
def test_packs_are_sold_and_taken_back_whatever_their_users_subscription_is(
    kind: str, name: str
) -> None:
    found, active = fate_of(kind, name), fate_of(kind, "active")

    more = found.credits_after - found.credits_before
    assert more == active.credits_after - active.credits_before != 0
    assert found.status_after == found.status_before


@pytest.mark.parametrize("kind", [kind for kind in NEWS if kind.startswith("checkout.")])
def test_what_is_bought_while_a_subscription_is_paused_may_be_spent(kind: str) -> None:
    found = fate_of(kind, "paused")

    assert found.credits_after > found.credits_before
    assert found.status_after == ("paused" if kind in OF_PACKS else "active")


@pytest.mark.parametrize("kind", [kind for kind in NEWS if kind not in OF_PACKS])
def test_what_comes_late_to_a_subscription_that_is_over_only_gives_what_was_paid(kind: str) -> None:
    found = fate_of(kind, "expired")

    assert found.changes == (found.credits_after > found.credits_before)

"""Calls wait out an election of the database, and no longer outage: each is judged by its own."""

import asyncio

import pytest

from actors.protocol.calls import OVERLOADED, UNAVAILABLE, Envelope, Outcome, Reply
from actors.routing import router as router_module
from actors.routing.router import Router
from domain.values import UserId
from tests.fakes.noting_shards import FakeShards
from tests.fakes.shards import charge_call, in_loop
from tests.patience import PATIENCE_SECONDS

ANN, BOB = UserId("ann"), UserId("bob")
CHARGE, OTHER = charge_call(ANN, 1, "ann's"), charge_call(BOB, 1, "bob's")
ELECTION_SECONDS = 0.3
REFUSED = Reply(Outcome.REFUSED)


class Planned(FakeShards):
    """Shards that give to writes the answers that are planned, and to reads what RAM has."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[Reply] = []
        self.always: Reply | None = None

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        replies = await super().send(index, envelope)
        answer = self.plan.pop(0) if envelope.calls and self.plan else self.always
        return [answer] * len(replies) if envelope.calls and answer else replies


async def after_an_outage(monkeypatch: pytest.MonkeyPatch) -> tuple[Router, Planned]:
    """Return a router that has just refused a call, since the database was away for too long."""
    monkeypatch.setattr(router_module, "ELECTION_SECONDS", ELECTION_SECONDS)
    shards = Planned()
    router = Router(shards, PATIENCE_SECONDS)
    shards.always = UNAVAILABLE
    assert await router.call(CHARGE) == UNAVAILABLE
    shards.always = None
    return router, shards


async def attempts(router: Router, shards: Planned) -> int:
    """Return how often a call is sent that is answered at its second attempt, or not at all."""
    shards.sent.clear()
    shards.plan = [UNAVAILABLE]
    await router.call(OTHER)
    shards.plan = []
    return len(shards.sent)


@in_loop
async def test_an_outage_whose_end_no_call_has_seen_is_over_once_nothing_was_heard_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(router_module, "OUTAGE_GAP_SECONDS", 0.1)
    router, shards = await after_an_outage(monkeypatch)
    await asyncio.sleep(0.2)

    assert await attempts(router, shards) == 2


@in_loop
async def test_a_call_amid_an_outage_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    router, shards = await after_an_outage(monkeypatch)

    assert await attempts(router, shards) == 1


@pytest.mark.parametrize("answer", [None, REFUSED])
@in_loop
async def test_a_write_that_was_decided_ends_an_outage(
    monkeypatch: pytest.MonkeyPatch, answer: Reply | None
) -> None:
    router, shards = await after_an_outage(monkeypatch)
    shards.plan = [] if answer is None else [answer]
    await router.call(CHARGE)

    assert await attempts(router, shards) == 2


@in_loop
async def test_what_needs_no_database_ends_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    router, shards = await after_an_outage(monkeypatch)
    await router.status(ANN)
    await router.statuses([ANN, BOB])
    shards.plan = [OVERLOADED]
    await router.call(CHARGE)

    assert await attempts(router, shards) == 1

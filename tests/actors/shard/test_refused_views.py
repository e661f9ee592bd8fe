"""Users whose views the database refuses are set aside for as long as something of them lags."""

from collections.abc import Sequence

import pytest

from actors.protocol.store import ViewsRefusedError
from actors.shard.shard import Shard
from domain.documents.views import AccountViews
from domain.values import Policy, UserId
from tests.builders.authors import views_of
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import ask, at_the_gate, charge_call, credit_call, in_loop, running, until

ANN, BOB = UserId("ann"), UserId("bob")
WHOLE = Policy(system_portion_bps=0)
"""All credits are spendable."""


class Refusing(MemoryStore):
    """Refuses all views, as where a document has a text in place of a number."""

    refuses = False

    def write_views(self, views: Sequence[AccountViews]) -> None:
        if self.refuses:
            self.enter(" ".join(sorted(view.user_id for view in views)))
            raise ViewsRefusedError("a text stands where a number is")
        super().write_views(views)


async def refused(shard: Shard, store: Refusing) -> None:
    """Have something lag of two users, whose views are refused."""
    await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200))
    await shard.settle()
    store.refuses = True
    await ask(shard, charge_call(ANN, 50, "a"), charge_call(BOB, 50, "b"))


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing rest or be set aside for long."""
    monkeypatch.setattr("actors.shard.view_writer.SUBSCRIPTION_REST_SECONDS", 0.0)
    monkeypatch.setattr("actors.shard.view_writer.SET_ASIDE_SECONDS", 0.0)


@pytest.mark.parametrize("written_alone", [ANN, BOB])
@in_loop
async def test_who_is_let_go_amid_a_refused_flush_is_not_written_any_more(
    monkeypatch: pytest.MonkeyPatch, written_alone: UserId
) -> None:
    at_once(monkeypatch)
    store = Refusing()
    async with running(store, policy=WHOLE) as shard:
        gate = store.hold(written_alone)
        await refused(shard, store)
        await at_the_gate(gate)
        shard.views.drop(BOB)
        store.refuses = False
        gate.open()

        await until(lambda: not shard.views.users)
        await shard.settle(BOB)

        assert store._marks == {ANN: 2, BOB: 1}


@in_loop
async def test_a_user_is_not_set_aside_whose_views_another_writer_has_completed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once(monkeypatch)
    store = Refusing()
    async with running(store, policy=WHOLE, views=False) as shard:
        await ask(shard, credit_call(ANN, 200), charge_call(ANN, 50, "a"))
        store.refuses = True
        await shard.views.flush()
        with pytest.raises(ViewsRefusedError):
            await shard.settle(ANN)
        store.refuses = False
        store.write_views(views_of(*store.journal.values()))

        await shard.views.flush()

        assert ANN not in shard.views
        await shard.settle(ANN)

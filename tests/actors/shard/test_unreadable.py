"""Documents that another program made unreadable, and that a write of ours makes readable again."""

import pytest

from actors.protocol.calls import Call
from actors.protocol.changes import Changes
from domain.messages import ChangeSubscription
from domain.values import Status, UserId
from tests.fakes.setups import MemorySetup
from tests.fakes.shards import ask_one, credit_call, in_loop, running, status

ANN = UserId("ann")


@in_loop
async def test_what_the_views_make_readable_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.shard.view_writer.SUBSCRIPTION_REST_SECONDS", 0.0)
    setup = MemorySetup()
    async with running(setup.store, views=False) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        await shard.views.flush()
        subscription_id = setup.document("subscriptions")["_id"]
        pause = ChangeSubscription(ANN, subscription_id, Status.PAUSED)
        await ask_one(shard, Call(pause, "pause", keep_refusal=True))
        setup.change("subscriptions", {"user_id": ANN}, status="bogus")
        shard.following.follow(Changes(shard.table.version, (ANN,), ()))
        assert (await status(shard, ANN)).status == "none"

        await shard.views.flush()

        assert setup.document("subscriptions")["status"] == "paused"
        assert (await status(shard, ANN)).status == "paused"

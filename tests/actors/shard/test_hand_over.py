"""What a shard gives away is whole: nothing that it may have appended is left for nobody to find."""

from dataclasses import replace

from actors.protocol.calls import Outcome
from actors.protocol.directory import SeenTable, even, slot_of
from actors.shard.hand_over import hand_over
from domain.values import UserId
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import ask_one, charge_call, credit_call, in_loop, running

ANN = UserId("ann")


@in_loop
async def test_a_user_whose_append_is_in_doubt_is_read_before_its_slot_goes() -> None:
    store, table = MemoryStore(), even(1, 2)
    owner = table.owner(ANN)
    async with running(store, index=owner, shards=2) as shard:
        await shard.catch_up()
        await ask_one(shard, credit_call(ANN, 100))
        await shard.settle()
        store.fail_append("in doubt, landed")
        store.fail_next("find_entries")
        charged = await ask_one(shard, charge_call(ANN, 5, "c1"))
        slot = slot_of(ANN)
        owners = tuple(1 - owner if at == slot else o for at, o in enumerate(table.owners))
        leaving = replace(table, version=2, owners=owners, leaving={slot: owner})
        shard.follow_table(SeenTable(leaving))

        version = await hand_over(shard)

        assert version == 2
        assert not shard.accounts.filling.left_out(lambda _: True)
        assert ANN not in shard.accounts
    assert charged.outcome is Outcome.UNAVAILABLE
    assert len(store.journal) == store._marks[ANN] == 2

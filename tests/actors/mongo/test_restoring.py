"""Documents of ours that are deleted and put back beside a running service."""

import pytest

from actors.mongo.jobs.invariants import MongoInvariants
from actors.shard.comparison import Comparison
from domain.values import UserId
from tests.builders.id_types import forgotten
from tests.fakes.comparison import Naps, compare
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import ask_one, charge_call, credit_call, in_loop, running, status

ANN = UserId("ann")


@pytest.mark.parametrize("charges", [1, 3])
@in_loop
async def test_what_is_put_back_counts_as_before_once_the_user_is_read_again(
    embedded: MongoSetup, charges: int
) -> None:
    async with running(embedded.store) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        for number in range(charges):
            await ask_one(shard, charge_call(ANN, 20, f"k-{number}"))
            await shard.settle()
        before = await status(shard, ANN)
        kept = {n: list(embedded.database[n].find()) for n in ("subscriptions", "dailycredits")}
        for name in kept:
            embedded.database[name].delete_many({})
        await forgotten(shard)
        without = await status(shard, ANN)

        for name, documents in kept.items():
            embedded.database[name].insert_many(documents)
        await Comparison(shard, embedded.store, Naps()).reread(ANN)

        assert without.status == "none"
        assert (await status(shard, ANN)) == before
        assert (await compare(shard, embedded.store)).stale == 0
    assert MongoInvariants(embedded.database, "UTC").check(None).invariants_broken == 0

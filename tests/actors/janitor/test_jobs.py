"""The janitor's jobs as wholes: no part of one is kept from running by another's failure."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from actors.janitor.jobs import EXPIRE
from actors.protocol.calls import UNAVAILABLE, Call, Reply
from actors.protocol.errors import UnavailableError
from domain.holds import PlaceHold
from domain.values import Credits, UserId
from tests.builders.authors import NOON, Author, add_pack, write
from tests.fakes.expiry import ToShard
from tests.fakes.janitor import jobs_on
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, in_loop, running

ANN, BOB, EVE = UserId("ann"), UserId("bob"), UserId("eve")
LATER = NOON + timedelta(days=2)


class ToOthers(ToShard):
    """Answers for one user as a shard that cannot read the user's journal."""

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        readable = [call for call in calls if call.command.user_id != ANN]
        replies = iter(await super().calls(readable))
        return [next(replies) if call in readable else UNAVAILABLE for call in calls]


@in_loop
async def test_an_account_that_cannot_be_read_keeps_nobodys_packs_and_holds_from_expiring(
    mongo: MongoSetup,
) -> None:
    bob, eve = Author(BOB), Author(EVE)
    pack = add_pack(BOB, 1000, expires_at=NOON + timedelta(hours=1))
    hold = PlaceHold(EVE, "chat", Credits(5), 3600)
    entries = [Author(ANN).add(days=1), bob.do(pack), eve.add(days=30), eve.do(hold)]
    write(mongo.store, entries)
    clock = Clock(LATER)
    async with running(mongo.store, clock=clock) as shard:
        jobs = jobs_on(mongo, clock, ToOthers(shard))

        with pytest.raises(UnavailableError):
            await jobs.janitor.ask(EXPIRE)
        await shard.settle()

    (lapsed,) = mongo.documents("packs")
    assert lapsed["lapsed_credits"] == 900
    assert [day for day in mongo.documents("dailycredits") if day.get("holds")] == []
    (entry,) = [one for one in mongo.documents("allotment_journal") if one["kind"] == "hold_freed"]
    assert entry["user_id"] == EVE

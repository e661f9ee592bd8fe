"""RAM follows what other programs do to packs, as it does with subscriptions."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bson import ObjectId

from actors.mongo.changes import MongoChanges
from actors.protocol.calls import service_call
from actors.sync.changes import HistoryLostError
from domain.pack_messages import ExpirePack
from domain.values import UserId, mark_of, owner_mark
from tests.builders.authors import NOON, Author, add_pack, write
from tests.builders.changes import take_until, up_to_a_beat, users
from tests.builders.packs import Buyer
from tests.builders.told_changes import tell
from tests.fakes.comparison import compare
from tests.fakes.setups import MemorySetup, MongoSetup, Setup
from tests.fakes.shards import ask_one, charge_call, in_loop, running, status

ANN, BOB = UserId("ann"), UserId("bob")
CAT = UserId("65f0a1b2c3d4e5f601234567")


@pytest.fixture
def changes(embedded: MongoSetup) -> Iterator[MongoChanges]:
    """Return the open stream of a database."""
    source = MongoChanges(embedded.database)
    source.open(None)
    yield source
    source.close()


def test_our_own_writes_of_packs_do_not_come_back(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    author = Buyer(ANN)
    write(embedded.store, [author.buy(100, expires_at=NOON.replace(hour=13)), author.use(30)])
    write(embedded.store, [author.use(5), author.hold(10), author.adjust(-5), author.adjust(7)])
    author.now = NOON.replace(hour=13)
    expired = [pack for pack in author.account.packs if pack.expires_at == author.now]
    write(embedded.store, [author.do(ExpirePack(ANN, pack.pack_id)) for pack in expired])
    write(embedded.store, [author.do(add_pack(ANN, 10, "p-2"))])

    assert up_to_a_beat(changes) == []


@pytest.mark.parametrize("user_id", [ANN, CAT])
def test_a_pack_of_another_program_names_its_user(
    changes: MongoChanges, embedded: MongoSetup, user_id: UserId
) -> None:
    stored = ObjectId(user_id) if user_id == CAT else user_id
    document = {"_id": 7, "user_id": stored, "amount": 10, "spendable_credits": 9}
    embedded.database.packs.insert_one(document)
    embedded.database.packs.update_one({"_id": 7}, {"$set": {"priority": 1}})

    taken = up_to_a_beat(changes)

    assert users(taken) == [user_id, user_id]


Edit = Callable[[MongoSetup, dict[str, Any]], object]
EDITS: dict[str, Edit] = {
    "update": lambda mongo, pack: mongo.database.packs.update_one(
        {"_id": pack["_id"]}, {"$inc": {"credits_used": 1}}
    ),
    "replace": lambda mongo, pack: mongo.database.packs.replace_one(
        {"_id": pack["_id"]}, pack | {"priority": 3}
    ),
    "restore": lambda mongo, pack: mongo.database.packs.insert_one(pack | {"_id": ObjectId()}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_a_pack_of_ours_names_its_user(
    changes: MongoChanges, embedded: MongoSetup, edit: str
) -> None:
    author = Author(ANN)
    write(embedded.store, [author.do(add_pack(ANN))])
    write(embedded.store, [author.use(3)])  # A restored document is further than new ones of ours.
    (document,) = embedded.database.packs.find()
    EDITS[edit](embedded, document)

    assert users(up_to_a_beat(changes)) == [ANN]


def test_of_a_deleted_pack_its_id_is_told(changes: MongoChanges, embedded: MongoSetup) -> None:
    write(embedded.store, [Author(ANN).do(add_pack(ANN))])
    (document,) = embedded.database.packs.find()
    embedded.database.packs.delete_one({"_id": document["_id"]})

    (change,) = up_to_a_beat(changes)

    assert (change.users, change.document_id) == ((), str(document["_id"]))


def test_a_pack_without_a_user_of_ours_is_named(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    embedded.database.packs.insert_one({"_id": 7, "user_id": 8, "amount": 1})

    (change,) = up_to_a_beat(changes)

    assert change.unreadable is not None
    assert change.unreadable.startswith("packs ")


def test_a_dropped_collection_of_packs_is_lost_history(
    changes: MongoChanges, embedded: MongoSetup
) -> None:
    write(embedded.store, [Author(ANN).do(add_pack(ANN))])
    embedded.database.packs.drop()

    with pytest.raises(HistoryLostError):
        take_until(changes, lambda _: False)


# --- what a shard does about it -----------------------------------------------------------


@in_loop
async def test_a_deleted_pack_of_ours_finds_its_account_by_its_id() -> None:
    setup = MemorySetup()
    async with running(setup.store) as shard:
        await ask_one(shard, service_call(add_pack(ANN, 100), "buy", "test"))
        await ask_one(shard, charge_call(ANN, 30, "k"))
        await shard.settle()
        name = setup.document("packs")["_id"]
        assert mark_of(name) == owner_mark(ANN)
        assert (await status(shard, ANN)).pack_credits == 60

        setup.remove("packs", user_id=ANN)
        tell(shard, documents=(name,))

        assert (await status(shard, ANN)).pack_credits == 0


@in_loop
async def test_a_deleted_pack_of_another_program_finds_its_account_by_its_id(
    setup: Setup,
) -> None:
    setup.insert("packs", _id="gift", user_id=ANN, amount=10, spendable_credits=10)
    async with running(setup.store) as shard:
        assert (await status(shard, ANN)).remaining_credits == 10
        setup.remove("packs", user_id=ANN)
        tell(shard, documents=("gift",))

        assert (await status(shard, ANN)).remaining_credits == 0


@in_loop
async def test_edits_of_a_pack_are_seen(setup: Setup) -> None:
    setup.insert("packs", _id="gift", user_id=ANN, amount=10, spendable_credits=10)
    async with running(setup.store) as shard:
        await ask_one(shard, charge_call(ANN, 4, "k"))
        await shard.settle()
        for fields, left in (
            ({"spendable_credits": 20, "amount": 20}, 16),
            ({"credits_used": 1}, 19),
            ({"credits_used": 20}, 0),
            ({"expires_at": NOON}, 0),
            ({"credits_used": 5}, 0),
            ({"expires_at": None}, 15),
            ({"category": "odd"}, 0),
            ({"category": "promotional"}, 15),
        ):
            setup.change("packs", {"user_id": ANN}, **fields)
            tell(shard, ANN)

            assert (await status(shard, ANN)).pack_credits == left, fields
        assert shard.counters.quarantined == 1


EDITED: dict[str, tuple[dict[str, Any], str]] = {
    "more": ({"spendable_credits": 95}, "stale"),
    "used": ({"credits_used": 60}, "stale"),
    "expiry": ({"expires_at": NOON.replace(year=2030)}, "stale"),
    "order": ({"priority": 1}, "stale"),
    "unreadable": ({"category": "odd"}, "missing_in_db"),
}


@pytest.mark.parametrize("edit", EDITED)
@in_loop
async def test_a_sweep_finds_and_repairs_an_edit_of_a_pack_that_nobody_told(
    setup: Setup, edit: str
) -> None:
    fields, kind = EDITED[edit]
    async with running(setup.store) as shard:
        await ask_one(shard, service_call(add_pack(ANN, 100), "buy", "test"))
        await ask_one(shard, charge_call(ANN, 30, "k"))
        await shard.settle()
        setup.change("packs", {"user_id": ANN}, **fields)

        first = await compare(shard, setup.store)
        second = await compare(shard, setup.store)
        shown = await status(shard, ANN)

    assert (getattr(first, kind), first.repaired, first.users) == (1, 1, [ANN])
    assert (second.drift, second.repaired) == (0, 0)
    assert second.quarantined == (edit == "unreadable")
    left = {"more": 65, "used": 30, "unreadable": 0}.get(edit, 60)
    assert shown.pack_credits == left

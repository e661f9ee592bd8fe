"""The rules know packs: totals, holds, and what the journal took from them."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.mongo.jobs import told_entries
from actors.mongo.jobs.store import MongoJobStore
from actors.protocol.reports import Findings
from domain.documents.recovery import Stored, recover
from domain.recalls import Recalls
from domain.values import UserId
from tests.builders.authors import NOON, POLICY, write
from tests.builders.packs import Buyer, usage_of
from tests.fakes.setups import MongoSetup

ANN = UserId("ann")
CAT = UserId("65f0a1b2c3d4e5f601234567")


def life(mongo: MongoSetup, user_id: UserId) -> None:
    """Charge, reverse, hold, take back: over a day and two packs."""
    author = Buyer(user_id)
    entries = [author.add(), author.buy(100), author.buy(50, "p-2"), author.use(190)]
    recalls = Recalls(usages=frozenset({usage_of(entries[-1])}))
    author.account = recover(Stored(user_id, 0, entries=entries), NOON, POLICY, recalls).account
    entries += [author.reverse(entries[-1], 105), author.hold(20), author.adjust(-15)]
    write(mongo.store, entries)


def check(mongo: MongoSetup, limit: int | None = None) -> Findings:
    return MongoJobStore(mongo.database, "UTC").check(limit)


def test_what_we_write_breaks_no_rule(mongo: MongoSetup) -> None:
    life(mongo, ANN)
    life(mongo, CAT)
    mongo.insert("packs", _id="gift", user_id=ANN, amount=10, spendable_credits=10)

    assert check(mongo) == Findings(checked=2)


BREAKING: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "amount": lambda pack: {"amount": pack["amount"] + 1},
    "spendable": lambda pack: {"spendable_credits": pack["spendable_credits"] - 1},
    "held": lambda pack: {"credits_held": pack["credits_held"] + 1},
    "charged": lambda pack: {"credits_charged": pack["credits_charged"] + 1},
}


@pytest.mark.parametrize("how", BREAKING)
def test_a_pack_that_breaks_a_rule_is_told_of(mongo: MongoSetup, how: str) -> None:
    life(mongo, ANN)
    life(mongo, CAT)
    pack = next(p for p in mongo.documents("packs") if p["user_id"] == CAT)
    mongo.change("packs", {"_id": pack["_id"]}, **BREAKING[how](pack))

    assert check(mongo) == Findings(checked=2, invariants_broken=1, users=[CAT])


def test_a_day_that_does_not_say_what_was_reversed_breaks_a_rule(mongo: MongoSetup) -> None:
    life(mongo, ANN)
    charged = mongo.document("dailycredits")["credits_charged"]
    mongo.change("dailycredits", {"user_id": ANN}, credits_charged=charged + 105)

    assert check(mongo) == Findings(checked=1, invariants_broken=1, users=[ANN])


def test_an_edit_of_its_use_and_what_the_journal_tells_no_more_break_none(
    mongo: MongoSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    life(mongo, ANN)
    (first, second) = mongo.documents("packs")
    mongo.change("packs", {"_id": first["_id"]}, credits_used=1)
    assert check(mongo) == Findings(checked=1)

    mongo.change("packs", {"_id": second["_id"]}, credits_charged=99)
    for name, number in (("FEW", 1), ("MANY", 2)):
        monkeypatch.setattr(told_entries, name, number)
    assert check(mongo) == Findings(checked=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": "many"},
        {"priority": 101},
        {"category": "odd"},
        {"user_id": 7},
        {"expires_at": "tomorrow"},
    ],
)
def test_an_unreadable_pack_is_counted_and_hides_nothing(
    mongo: MongoSetup, fields: dict[str, Any]
) -> None:
    life(mongo, ANN)
    mongo.database.packs.insert_one({"_id": 1, "user_id": "eve", "amount": 9, "system_portion": 1})
    mongo.database.packs.update_one({"_id": 1}, {"$set": fields})

    named = [] if "user_id" in fields else ["eve"]
    assert check(mongo) == Findings(checked=1, quarantined=1, users=named)


def test_parts_of_packs_follow_one_another(mongo: MongoSetup) -> None:
    for number in range(5):
        mongo.database.packs.insert_one({"_id": number, "user_id": "eve", "amount": "odd"})
    job_store = MongoJobStore(mongo.database, "UTC")

    assert [job_store.check(2).quarantined for _ in range(4)] == [2, 2, 1, 2]

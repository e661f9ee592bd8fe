"""The views are held to the rules of the accounting, and old entries leave the journal."""

from datetime import timedelta
from itertools import pairwise

import pytest

from actors.mongo.connection import connect
from actors.mongo.jobs import store as job_store_module
from actors.mongo.jobs import told_entries
from actors.mongo.jobs.store import MongoJobStore
from actors.protocol.reports import Findings
from domain.values import UserId
from tests.builders.authors import NOON, Author, views_of, write
from tests.fakes.setups import MongoSetup
from tests.wire.proxy import Proxy

ANN, BOB = UserId("65f0a1b2c3d4e5f601234567"), UserId("bob")
ONE_DAY = timedelta(days=1)


def job_store(setup: MongoSetup) -> MongoJobStore:
    return MongoJobStore(setup.database, "UTC")


def charged(setup: MongoSetup, user_id: str, charges: int = 3, days: int = 1) -> Author:
    """Let a user pay, and charge so often on so many days."""
    author = Author(user_id)
    entries = [author.add(3000, 30)]
    for _ in range(days):
        entries += [author.use(1) for _ in range(charges)]
        author.now += ONE_DAY
    write(setup.store, entries)
    return author


# --- rules --------------------------------------------------------------------------------


def test_what_we_write_breaks_no_rule(mongo: MongoSetup) -> None:
    charged(mongo, ANN, charges=3, days=4)
    charged(mongo, BOB, charges=700)

    assert job_store(mongo).check(None) == Findings(checked=2)


def test_a_total_that_is_not_the_sum_of_its_parts_breaks_a_rule(mongo: MongoSetup) -> None:
    charged(mongo, ANN)
    charged(mongo, BOB)
    mongo.change("subscriptions", {"user_id": BOB}, total_credits=3001)

    assert job_store(mongo).check(None) == Findings(checked=2, invariants_broken=1, users=[BOB])


@pytest.mark.parametrize("user_id", [ANN, BOB])
def test_a_day_whose_charges_are_not_the_journals_breaks_a_rule(
    mongo: MongoSetup, user_id: str
) -> None:
    charged(mongo, user_id, charges=20, days=2)
    mongo.change("dailycredits", {"date": NOON.replace(hour=0) + ONE_DAY}, credits_charged=21)

    found = job_store(mongo).check(None)

    assert found == Findings(checked=1, invariants_broken=1, users=[user_id])


def test_an_edit_of_another_program_breaks_none(mongo: MongoSetup) -> None:
    author = charged(mongo, ANN)
    mongo.change("dailycredits", {"user_id": ANN}, credits_used=2)
    subscription_id = author.account.subscriptions[0].subscription_id
    date = NOON.replace(hour=0) + 5 * ONE_DAY
    mongo.insert("dailycredits", subscription_id=subscription_id, date=date, credits_used=9)

    assert job_store(mongo).check(None) == Findings(checked=1)


def test_views_that_lag_and_days_with_very_many_charges_are_no_alarm(
    mongo: MongoSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("FEW", 2), ("MANY", 5)):
        monkeypatch.setattr(told_entries, name, number)
    author = charged(mongo, ANN, charges=9)
    author.now -= ONE_DAY
    mongo.store.append([author.use(1), author.use(1)])

    assert job_store(mongo).check(None) == Findings(checked=1)


@pytest.mark.parametrize("user", [ANN, UserId("6b0a96d692994d6854a54f4a")])
@pytest.mark.parametrize(
    "own", [True, False], ids=["a user of its own", "no user, as Mongoose has it"]
)
@pytest.mark.parametrize(
    ("collection", "field"), [("subscriptions", "status"), ("dailycredits", "credits_used")]
)
def test_documents_that_cannot_be_read_are_counted_and_their_users_named(
    mongo: MongoSetup, collection: str, field: str, user: UserId, *, own: bool
) -> None:
    charged(mongo, user)
    (document,) = mongo.database[collection].find()
    gone = {} if own or collection == "subscriptions" else {"$unset": {"user_id": ""}}
    mongo.database[collection].update_one({"_id": document["_id"]}, {"$set": {field: "odd"}} | gone)

    found = job_store(mongo).check(None)

    assert (found.quarantined, found.users) == (1, [user])


def test_parts_follow_one_another_and_begin_anew(mongo: MongoSetup) -> None:
    for index in range(5):
        charged(mongo, f"u-{index}", charges=1)
    (first, *_) = mongo.documents("subscriptions")
    mongo.change("subscriptions", {"_id": first["_id"]}, total_credits=1)
    one = job_store(mongo)

    found = [one.check(2) for _ in range(4)]

    assert [f.checked for f in found] == [2, 2, 1, 2]
    assert [f.invariants_broken for f in found] == [1, 0, 0, 1]


# --- old entries --------------------------------------------------------------------------


def test_old_entries_leave_the_journal_and_younger_ones_stay(mongo: MongoSetup) -> None:
    author = charged(mongo, ANN, charges=2, days=3)
    before = Author.of(mongo.store.load([ANN], author.now)[0], author.now).account

    removed = job_store(mongo).trim(NOON + 2 * ONE_DAY)

    assert removed == 5
    assert [d["seq"] for d in mongo.documents("allotment_journal")] == [6, 7]
    after = Author.of(mongo.store.load([ANN], author.now)[0], author.now).account
    assert after == before
    assert job_store(mongo).trim(NOON + 2 * ONE_DAY) == 0


def test_of_an_hours_entries_a_batch_at_a_time_is_in_ram(
    proxy: Proxy, embedded: MongoSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_store_module, "TRIM_BATCH", 10)
    charged(embedded, ANN, charges=44)
    database = connect(proxy.uri, embedded.database.name)

    removed = MongoJobStore(database, "UTC").trim(NOON + ONE_DAY)

    assert removed == 45
    assert embedded.documents("allotment_journal") == []
    steps = [next(iter(c)) for c in proxy.seen if "allotment_journal" in c.values()]
    assert steps.count("delete") == 5
    read_ahead = [pair for pair in pairwise(steps) if pair == ("getMore", "getMore")]
    assert (steps.count("getMore"), read_ahead) == (4, [])
    assert all(c["batchSize"] == 10 for c in proxy.commands("getMore"))
    database.client.close()


def test_an_entry_that_a_view_lacks_is_never_removed(mongo: MongoSetup) -> None:
    author, other = Author(ANN), Author(BOB)
    entries = [author.add(), author.use(1), author.use(2)]
    mongo.store.append([*entries, other.add()])
    mongo.store.write_views(views_of(*entries[:2]))

    removed = job_store(mongo).trim(NOON + 90 * ONE_DAY)

    assert removed == 2
    assert [(d["user_id"], d["seq"]) for d in mongo.documents("allotment_journal")] == [
        (ANN, 3),
        (BOB, 1),
    ]


def test_a_charge_on_a_shortened_journal_goes_on_where_it_was(mongo: MongoSetup) -> None:
    author = charged(mongo, ANN, charges=2, days=2)
    job_store(mongo).trim(author.now)

    write(mongo.store, [author.use(1)])

    assert Author.of(mongo.store.load([ANN], author.now)[0], author.now).account == author.account
    assert job_store(mongo).check(None) == Findings(checked=1)

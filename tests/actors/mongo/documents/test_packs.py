"""What every store promises of packs, corrections and late settlements: documents and what is loaded."""

from datetime import timedelta
from typing import Any

import pytest

from domain.corrections import CreditsAdjusted
from domain.documents.recovery import Stored, recover
from domain.holds import HoldSettled, ReleaseHold
from domain.messages import Entry
from domain.packs import Category
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.retention import keep_what_matters
from domain.values import UserId
from tests.builders.authors import NOON, POLICY, Author, write
from tests.builders.packs import Buyer, hold_of, pack_of, usage_of
from tests.fakes.setups import MemorySetup, MongoSetup, Setup

ANN = UserId("ann")
CAT = UserId("65f0a1b2c3d4e5f601234567")
"""24 hex digits: an ObjectId in MongoDB."""
USERS = pytest.mark.parametrize("user_id", [ANN, CAT])
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def amounts(document: dict[str, Any]) -> tuple[int, int, int]:
    names = ("spendable_credits", "credits_used", "credits_held")
    spendable, used, held = (int(document[name]) for name in names)
    return spendable, used, held


def sources(setup: Setup, entry: Entry) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = setup.document("usages", _id=usage_of(entry))["sources"]
    return found


def agrees(setup: Setup, author: Author, recalls: Recalls | None = None) -> bool:
    """Say whether what is stored is the author's account, or what matters of it."""
    now = author.now
    stored = setup.store.load([author.account.user_id], now, recalls or NOTHING_BESIDE)[0]
    recovered = recover(stored, now, POLICY, recalls)
    assert recovered.quarantined == ()
    ours, theirs = author.account, recovered.account
    if recalls is not None:
        assert (ours.extra and ours.extra.charges) == (theirs.extra and theirs.extra.charges)
        assert (ours.extra and ours.extra.lapsed_holds) == (
            theirs.extra and theirs.extra.lapsed_holds
        )
    return keep_what_matters(theirs, now) == keep_what_matters(ours, now)


# --- packs --------------------------------------------------------------------------------


@USERS
def test_a_pack_becomes_a_document(setup: Setup, user_id: UserId) -> None:
    author = Buyer(user_id)
    bought = author.buy(1000, "p-7", priority=10, expires_at=NOON + DAY)

    write(setup.store, [bought])

    assert setup.document("packs") == {
        "_id": pack_of(bought),
        "user_id": user_id,
        "amount": 1000,
        "system_portion": 100,
        "spendable_credits": 900,
        "credits_used": 0,
        "credits_charged": 0,
        "credits_held": 0,
        "category": "paid",
        "priority": 10,
        "created_at": NOON,
        "expires_at": NOON + DAY,
        "payment": {
            "method": "card",
            "transaction_id": "p-7",
            "amount": 999,
            "currency": "eur",
        },
        "holds": [],
        "applied_seq": 1,
        "revision": 1,
    }
    assert agrees(setup, author)


@USERS
@pytest.mark.parametrize("together", [False, True])
def test_a_charge_over_several_sources(setup: Setup, user_id: UserId, *, together: bool) -> None:
    author = Buyer(user_id)
    entries = [author.add(), author.buy(1000), author.buy(1000, "p-2", priority=3)]
    first, second = author.use(120), author.use(1000)

    for part in [[*entries, first, second]] if together else [entries, [first], [second]]:
        write(setup.store, part)

    day = setup.document("dailycredits")
    later, sooner = (setup.document("packs", _id=pack_of(bought)) for bought in entries[1:])
    assert (day["credits_used"], amounts(sooner), amounts(later)) == (
        90,
        (900, 900, 0),
        (900, 130, 0),
    )
    assert sources(setup, first) == [
        {"source": "day", "date": NOON.replace(hour=0), "credit_amount": 90},
        {"source": "pack", "pack_id": sooner["_id"], "credit_amount": 30},
    ]
    assert sources(setup, second) == [
        {"source": "pack", "pack_id": sooner["_id"], "credit_amount": 870},
        {"source": "pack", "pack_id": later["_id"], "credit_amount": 130},
    ]
    assert agrees(setup, author)


def test_a_charge_without_a_subscription(setup: Setup) -> None:
    author = Buyer(CAT)
    bought, charged = author.buy(100), author.use(30)

    write(setup.store, [bought, charged])

    record = setup.document("usages")
    assert (record["subscription_id"], record["date"]) == (None, None)
    assert sources(setup, charged) == [
        {"source": "pack", "pack_id": pack_of(bought), "credit_amount": 30}
    ]
    assert setup.documents("dailycredits") == []
    assert agrees(setup, author)


@USERS
@pytest.mark.parametrize("end", ["settled", "released", "expired"])
def test_holds_in_a_day_and_a_pack(setup: Setup, user_id: UserId, end: str) -> None:
    author = Buyer(user_id)
    entries = [author.add(), author.buy(100)]
    placed = author.hold(100)
    write(setup.store, [*entries, placed])

    pack = setup.document("packs")
    assert setup.document("dailycredits")["credits_held"] == 90
    assert amounts(pack) == (90, 0, 10)
    assert pack["holds_until"] == NOON + timedelta(minutes=5)
    assert (pack["holds"][0]["hold_id"], pack["holds"][0]["date"]) == (
        hold_of(placed),
        "2026-03-10",
    )
    assert agrees(setup, author)

    if end == "settled":
        last = author.settle(placed, 95)
    elif end == "released":
        last = author.do(ReleaseHold(user_id, hold_of(placed)))
    else:
        author.now += timedelta(minutes=5)
        last = author.expire_hold(placed)
    write(setup.store, [last])

    pack = setup.document("packs")
    assert amounts(pack) == (90, 5 if end == "settled" else 0, 0)
    assert (pack["holds"], pack["holds_until"]) == ([], None)
    assert setup.document("dailycredits")["credits_held"] == 0
    assert agrees(setup, author)


def test_an_expiry_and_what_lapses_with_it_and_after_it(setup: Setup) -> None:
    author = Buyer(ANN)
    bought = author.buy(100, expires_at=NOON + HOUR)
    charged, placed = author.use(20), author.hold(30, 7200)
    write(setup.store, [bought, charged, placed])
    author.now += HOUR

    write(setup.store, [author.expire(bought)])

    pack = setup.document("packs")
    assert (pack["expired_at"], pack["lapsed_credits"]) == (NOON + HOUR, 40)
    assert agrees(setup, author)

    write(setup.store, [author.settle(placed, 10)])

    pack = setup.document("packs")
    assert (pack["lapsed_credits"], amounts(pack)) == (60, (90, 30, 0))
    assert agrees(setup, author)


def test_a_pack_that_another_program_deletes_is_not_made_again(setup: Setup) -> None:
    author = Buyer(ANN)
    write(setup.store, [author.buy(100)])
    setup.remove("packs", user_id=ANN)

    write(setup.store, [author.use(20)])

    assert setup.documents("packs") == []


def test_what_another_program_edits_of_a_pack_stays(setup: Setup) -> None:
    author = Buyer(ANN)
    write(setup.store, [author.buy(100), author.use(20)])
    setup.change("packs", {"user_id": ANN}, credits_used=50, priority=7)

    write(setup.store, [author.use(5)])

    pack = setup.document("packs")
    assert (pack["credits_used"], pack["credits_charged"], pack["priority"]) == (55, 25, 7)


@pytest.mark.parametrize("garbage", ["many", -3, 2.5, None, {"a": 1}])
@pytest.mark.parametrize("field", ["credits_used", "credits_charged", "holds", "credits_held"])
def test_what_is_no_amount_gives_way(mongo: MongoSetup, field: str, garbage: object) -> None:
    author = Buyer(ANN)
    write(mongo.store, [author.buy(100), author.use(20)])
    mongo.change("packs", {"user_id": ANN}, **{field: garbage})

    write(mongo.store, [author.use(5), author.hold(7)])

    pack = mongo.document("packs")
    assert pack["credits_used"] == 25
    assert pack["credits_held"] == 7
    assert agrees(mongo, author)


def test_a_foreign_pack_without_what_is_ours(setup: Setup) -> None:
    """As Mongoose would write it."""
    setup.insert("packs", _id="gift 1", user_id=ANN, amount=100, system_portion=10)
    author = Buyer(ANN)
    author.account = recover(setup.store.load([ANN], NOON)[0], NOON, POLICY).account

    charged, placed, taken = author.use(20), author.hold(5), author.adjust(-15)
    write(setup.store, [charged, placed, taken])

    pack = setup.document("packs")
    assert (amounts(pack), pack["taken_back_credits"]) == ((75, 20, 5), 15)
    assert sources(setup, charged) == [{"source": "pack", "pack_id": "gift 1", "credit_amount": 20}]
    assert agrees(setup, author)


def test_what_was_taken_back_does_not_come_back_where_a_pack_says_no_more_what_it_gives(
    setup: Setup,
) -> None:
    author = Buyer(ANN)
    write(setup.store, [author.buy(100), author.adjust(-30)])
    setup.change("packs", {"user_id": ANN}, spendable_credits=None)

    author.account = recover(setup.store.load([ANN], NOON)[0], NOON, POLICY).account
    assert author.account.packs[0].spendable == 60
    write(setup.store, [author.use(5), author.adjust(-10)])

    pack = setup.document("packs")
    assert (amounts(pack), pack["taken_back_credits"]) == ((50, 5, 0), 40)
    assert agrees(setup, author)


def test_a_foreign_pack_that_names_its_user_by_a_text(mongo: MongoSetup) -> None:
    mongo.database.packs.insert_one(
        {"_id": 7, "user_id": str(CAT), "amount": 9, "spendable_credits": 9}
    )
    author = Buyer(CAT)
    author.account = recover(mongo.store.load([CAT], NOON)[0], NOON, POLICY).account

    write(mongo.store, [author.use(4)])

    assert mongo.document("packs")["credits_used"] == 4
    assert agrees(mongo, author)


# --- corrections --------------------------------------------------------------------------


@USERS
@pytest.mark.parametrize("together", [False, True])
def test_reversals(setup: Setup, user_id: UserId, *, together: bool) -> None:
    author = Buyer(user_id)
    entries = [author.add(), author.buy(100), author.use(120)]
    charged = entries[-1]
    recalled = Recalls(usages=frozenset({usage_of(charged)}))
    lagging = Stored(user_id, 0, entries=entries)
    author.account = recover(lagging, NOON, POLICY, recalled).account
    corrections = [author.reverse(charged, 40), author.reverse(charged)]

    if together:
        write(setup.store, [*entries, *corrections])
    else:
        write(setup.store, entries)
        write(setup.store, corrections[:1])
        first = setup.document("usages")
        assert (first["credit_amount"], first["reversed_credits"]) == (120, 40)
        assert [s.get("reversed_credits") for s in first["sources"]] == [10, 30]
        assert setup.document("dailycredits")["credits_used"] == 80
        write(setup.store, corrections[1:])

    record = setup.document("usages")
    assert record["reversed_credits"] == 120
    assert [s["reversed_credits"] for s in record["sources"]] == [90, 30]
    assert setup.document("dailycredits")["credits_used"] == 0
    assert amounts(setup.document("packs")) == (90, 0, 0)
    assert agrees(setup, author, recalled)


def test_a_record_of_an_older_version_is_all_its_days(setup: Setup) -> None:
    author = Buyer(ANN)
    entries = [author.add(), author.use(20)]
    write(setup.store, entries)
    setup.change("usages", {"user_id": ANN}, sources=None)
    recalls = Recalls(usages=frozenset({usage_of(entries[1])}))
    author.account = recover(
        setup.store.load([ANN], NOON, recalls)[0], NOON, POLICY, recalls
    ).account

    write(setup.store, [author.reverse(entries[1], 5)])

    record = setup.document("usages")
    assert (record["reversed_credits"], record["sources"]) == (5, None)
    assert setup.document("dailycredits")["credits_used"] == 15
    assert agrees(setup, author, recalls)


def test_a_charge_of_another_user_is_not_recalled(setup: Setup) -> None:
    ann, cat = Buyer(ANN), Buyer(CAT)
    entries = [ann.buy(100), ann.use(20), cat.buy(100), cat.use(30)]
    write(setup.store, entries)
    recalls = Recalls(usages=frozenset(map(usage_of, (entries[1], entries[3]))))

    found = setup.store.load([CAT, ANN], NOON, recalls)

    assert [[record["_id"] for record in one.usages] for one in found] == [
        [usage_of(entries[3])],
        [usage_of(entries[1])],
    ]
    assert [one.usages for one in setup.store.load([CAT, ANN], NOON)] == [[], []]


def test_another_programs_record_is_no_charge(setup: Setup) -> None:
    record = "65f0a1b2c3d4e5f6012300aa"
    setup.insert("usages", _id=record, user_id=ANN, credit_amount=9, timestamp=NOON)
    recalls = Recalls(usages=frozenset({record}))

    account = recover(setup.store.load([ANN], NOON, recalls)[0], NOON, POLICY, recalls).account

    assert account.find_charge(record) is None


@USERS
def test_adjustments(setup: Setup, user_id: UserId) -> None:
    author = Buyer(user_id)
    write(setup.store, [author.add(), author.buy(100), author.use(10)])

    taken, given = author.adjust(-100), author.adjust(25, expires_at=NOON + DAY)
    write(setup.store, [taken, given])

    assert isinstance(given.change, CreditsAdjusted)
    assert given.change.added is not None
    of_operator = setup.document("packs", _id=given.change.added.pack_id)
    bought = setup.document("packs", category="paid")
    assert of_operator["category"] == str(Category.ADJUSTMENT)
    assert (of_operator["amount"], of_operator["system_portion"]) == (25, 0)
    assert (amounts(of_operator), of_operator["payment"]) == ((25, 0, 0), None)
    assert of_operator["expires_at"] == NOON + DAY
    assert setup.document("dailycredits")["credits_adjusted"] == 80
    assert (amounts(bought), bought["taken_back_credits"], bought["amount"]) == (
        (70, 0, 0),
        20,
        100,
    )
    assert agrees(setup, author)

    author.now += DAY  # What was taken does not come back with the roll-over.
    assert agrees(setup, author)


# --- late settlements ---------------------------------------------------------------------


@USERS
def test_an_expired_hold_is_kept_until_it_is_settled_late(setup: Setup, user_id: UserId) -> None:
    # Servers delete by their own clocks what can be settled no longer.
    author = Buyer(user_id, NOON.replace(year=2096))
    entries = [author.add(), author.buy(100)]
    placed = author.hold(100)
    author.now += timedelta(minutes=5)
    write(setup.store, [*entries, placed, author.expire_hold(placed)])

    kept = setup.document("allotment_lapsed_holds")
    assert (kept["_id"], kept["user_id"], kept["credit_amount"]) == (
        hold_of(placed),
        user_id,
        100,
    )
    assert kept["until"] > author.now
    recalls = Recalls(holds=frozenset({hold_of(placed)}))
    assert agrees(setup, author, recalls)

    settled = author.settle(placed, 60)
    write(setup.store, [settled])

    record = setup.document("usages")
    assert (record["credit_amount"], record["late"]) == (60, True)
    assert setup.document("allotment_lapsed_holds")["is_closed"] is True
    assert agrees(setup, author, recalls)


def test_what_a_settlement_cannot_charge_is_in_its_record(setup: Setup) -> None:
    author = Buyer(ANN)
    bought, placed = author.buy(100), author.hold(50)
    settled = author.settle(placed, 200)

    write(setup.store, [bought, placed, settled])

    assert isinstance(settled.change, HoldSettled)
    record = setup.document("usages")
    assert (record["credit_amount"], record["uncovered_credits"]) == (90, 110)
    assert "late" not in record


def test_a_hold_that_expires_and_is_settled_in_one_go_is_closed(setup: Setup) -> None:
    author = Buyer(ANN, NOON.replace(year=2096))
    entries = [author.buy(100), author.hold(50)]
    author.now += timedelta(minutes=5)
    entries += [author.expire_hold(entries[1]), author.settle(entries[1], 20)]

    write(setup.store, entries)

    assert setup.document("allotment_lapsed_holds")["is_closed"] is True
    assert amounts(setup.document("packs")) == (90, 20, 0)


def test_events_about_packs_alone_name_no_subscription(setup: Setup) -> None:
    author = Buyer(ANN)
    bought = author.buy(100, expires_at=NOON + HOUR)
    author.now += HOUR

    write(setup.store, [bought, author.expire(bought)])

    collection = "events" if isinstance(setup, MemorySetup) else "allotment_events"
    (told,) = [e for e in setup.documents(collection) if e["type"] == "pack.expired"]
    assert told["subscription_id"] is None

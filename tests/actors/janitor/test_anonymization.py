"""Users who are made anonymous, on databases: no trace of the id is left, and no sum changes."""

import asyncio
import contextlib
import json
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from bson import ObjectId

from actors.cluster.resharding import Plan, check_grown
from actors.events.records import DeadLetter
from actors.janitor.anonymization import Anonymizations
from actors.janitor.anonymization_job import Anonymization, Step
from actors.mongo.accounts.store import MongoStore
from actors.mongo.embedded_wire import Documents
from actors.mongo.events import MongoEvents
from actors.mongo.jobs.anonymizations import COLLECTION, MongoAnonymizations
from actors.mongo.jobs.invariants import MongoInvariants
from actors.mongo.jobs.rename import BATCH, MongoRenaming
from actors.mongo.stripe import MongoStripe
from actors.protocol.calls import Outcome
from actors.protocol.directory import even
from actors.protocol.store import StorageUnavailableError
from actors.shard.comparison import Comparison
from actors.stripe.prices import CREDITS, DAYS, EXPIRES, PRIORITY
from actors.stripe.records import EventState, StripeEvent, StripeRecord
from domain.holds import SettleHold, holder_of, make_hold_id
from domain.values import Credits, UserId, is_object_id
from tests.builders.authors import NOON, Author, write
from tests.builders.id_types import forgotten
from tests.fakes.anonymous_world import (
    BOB,
    NUMBER,
    OBJECT_ID,
    SHORT,
    TEXT,
    anonymize,
    call,
    jobs_of,
    world,
)
from tests.fakes.fleet import MemoryTables
from tests.fakes.janitor import yielding
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, ask_one, charge_call, credit_call, in_loop, running, status
from tests.traces import traces


def foreign_documents(database: Documents, user: str) -> None:
    """Put beside them what other programs, Stripe and operators may have left of the user."""
    user_id: Any = ObjectId(user) if is_object_id(user) else user
    subscription = database.subscriptions.find_one({"user_id": user_id})
    assert subscription is not None
    hold_id = make_hold_id(NOON, UserId(user), "elsewhere", "chat")
    database.subscriptions.insert_one(
        {"_id": "theirs-1", "user_id": user_id, "status": "expired", "note": user}
        | {"start_date": NOON - timedelta(days=90), "end_date": NOON - timedelta(days=60)}
        | {"total_credits": 100, "system_portion": 10, "spendable_credits": 90}
    )
    database.usages.insert_one(
        {"user_id": user_id, "timestamp": NOON, "credit_amount": 3, "details": {"who": user}}
        | {"session_id": "theirs", "created_by": user}
    )
    database.packs.insert_one(
        {"user_id": user_id, "amount": 100, "holds": [{"hold_id": hold_id, "details": "{}"}]}
        | {"payment": {"transaction_id": f"pack of {user}", "amount": 5}}
    )
    database.allotment_lapsed_holds.insert_one(
        {"_id": hold_id, "user_id": user_id, "hold_id": hold_id, "session_id": "s"}
    )
    database.allotment_sweeps.insert_one(
        {"_id": "sweep-1", "job": "sweep", "started_at": NOON, "users": [user, BOB]}
        | {"differences": [f"sub_1: pays for bob here, {user!r} in its metadata"]}
    )
    database.users.insert_one(
        {"_id": user_id, "subscription": {"status": "active"}, "allotment": {"features_seq": 1}}
    )


def stripe_documents(database: Documents, user: str) -> None:
    stripe = MongoStripe(database)
    record = StripeRecord(
        "sub_1", 1, 5, metadata_user=user, reference_user=user, customer_id="cus_1"
    )
    stripe.save(record)
    for number, state in enumerate(EventState):
        body = {"data": {"object": {"metadata": {"user_id": user}, "client_reference_id": user}}}
        stripe.keep(
            StripeEvent(
                f"evt_{number}", "x", 5, False, "sub_1", "cus_1", json.dumps(body), NOON, state
            )
        )


async def deliver_badly(database: Documents, user: str) -> None:
    """Give events their places, and let a handler have given up one of the user's."""
    events = MongoEvents(database)
    (first, *_) = [e for e in events.number(100) if e.record.user_id == user]
    events.bury(DeadLetter("crm", first, NOON, 3, "refused"))


def sums(database: Documents) -> dict[str, Any]:
    """Return what must not change, whoever it belongs to."""
    fields = (
        *("total_credits", "system_portion", "spendable_credits", "credits_used", "credits_held"),
        *("credits_charged", "credits_rolled_over", "daily_credit_limit", "credit_amount"),
        *("token_count", "amount", "applied_seq"),
    )
    names = ("subscriptions", "dailycredits", "usages", "packs", "allotment_journal")
    return {
        f"{name} {field}": sum(d.get(field) or 0 for d in database[name].find())
        for name in names
        for field in fields
    } | {f"{name} count": database[name].count_documents({}) for name in names}


@pytest.mark.parametrize("user", [TEXT, OBJECT_ID, SHORT, NUMBER])
@in_loop
async def test_no_trace_of_the_user_is_left_and_all_sums_stay(mongo: MongoSetup, user: str) -> None:
    async with world(mongo, user, BOB) as (shard, jobs, _):
        foreign_documents(mongo.database, user)
        stripe_documents(mongo.database, user)
        await deliver_badly(mongo.database, user)
        assert traces(mongo.database, user)
        before, shown = sums(mongo.database), await status(shard, user)
        bob = await status(shard, BOB)

        report = await anonymize(jobs, user)

        assert report.finished_at is not None
        assert report.anonymous_id is not None
        assert traces(mongo.database, user) == []
        assert sums(mongo.database) == before
        expected = shown.model_copy(update={"user_id": report.anonymous_id})
        assert await status(shard, report.anonymous_id) == expected
        assert (await status(shard, user)).status == "none"
        assert await status(shard, BOB) == bob
        assert mongo.database.usages.count_documents({"details": {"$ne": None}}) == 1  # Bob's.
        swept = await Comparison(shard, mongo.store, yielding).compare(repair=False)
        found = MongoInvariants(mongo.database, "UTC").check(None)
        assert (swept.drift, found.invariants_broken) == (0.0, 0)


@pytest.mark.parametrize("user", ["10", "2026", "00"])
@in_loop
async def test_an_id_that_is_a_number_takes_no_dates_and_no_amounts_along(
    mongo: MongoSetup, user: str
) -> None:
    async with world(mongo, user, BOB) as (shard, jobs, _):
        foreign_documents(mongo.database, user)
        stripe_documents(mongo.database, user)
        sale = {"metadata": {CREDITS: user, DAYS: user, EXPIRES: user, PRIORITY: user}}
        body = json.dumps(event_of_bob := {"data": {"object": {"lines": [{"price": sale}]}}})
        stripe = MongoStripe(mongo.database)
        stripe.keep(StripeEvent("evt_bob", "x", 5, False, "sub_2", "cus_2", body, NOON))
        before, shown = sums(mongo.database), await status(shard, user)
        bob = await status(shard, BOB)

        report = await anonymize(jobs, user)

        assert report.anonymous_id is not None
        assert sums(mongo.database) == before
        expected = shown.model_copy(update={"user_id": report.anonymous_id})
        await forgotten(shard)
        assert await status(shard, report.anonymous_id) == expected
        assert await status(shard, BOB) == bob
        (kept,) = stripe.pending("sub_2")
        assert json.loads(kept.body) == event_of_bob
        for name in ("subscriptions", "dailycredits", "usages", "packs", "allotment_journal"):
            assert mongo.database[name].count_documents({"user_id": user}) == 0
        found = MongoInvariants(mongo.database, "UTC").check(None)
        assert (found.invariants_broken, found.quarantined) == (0, 0)


@in_loop
async def test_each_document_is_counted_by_its_collection(mongo: MongoSetup) -> None:
    async with world(mongo, TEXT, BOB) as (_, jobs, _shards):
        foreign_documents(mongo.database, TEXT)
        stripe_documents(mongo.database, TEXT)

        report = await anonymize(jobs, TEXT)

    assert report.documents == {
        "allotment_journal": 9,
        "allotment_events": report.documents["allotment_events"],
        "subscriptions": 2,
        "dailycredits": 1,
        "usages": 4,
        "packs": 1,
        "allotment_lapsed_holds": 1,
        "allotment_stripe_records": 1,
        "allotment_stripe_events": 3,
        "allotment_sweeps": 1,
        "users": 1,
    }
    assert report.documents["allotment_events"] > 0


@in_loop
async def test_an_open_hold_goes_on_under_the_new_name_and_expires(mongo: MongoSetup) -> None:
    async with world(mongo, TEXT) as (shard, jobs, _):
        old = make_hold_id(NOON, UserId(TEXT), f"hold {TEXT} 2", "chat")

        report = await anonymize(jobs, TEXT)

        settled = await ask_one(shard, call(SettleHold(UserId(TEXT), old, Credits(5)), "late"))
        assert settled.outcome is Outcome.REFUSED
        assert report.anonymous_id is not None
        await status(shard, report.anonymous_id)
        account = shard.accounts[UserId(report.anonymous_id)]
        (hold,) = (hold for one in account.subscriptions for hold in one.holds)
        assert (holder_of(hold.hold_id), hold.credit_amount) == (account.user_id, 5)


@in_loop
async def test_who_comes_under_the_old_id_is_somebody_new(mongo: MongoSetup) -> None:
    async with world(mongo, TEXT) as (shard, jobs, _):
        first = await anonymize(jobs, TEXT)

        again = await ask_one(shard, charge_call(TEXT, 1, f"usage-{TEXT}-1"))
        await ask_one(shard, credit_call(TEXT, 90, 1, "credit later"))
        await shard.settle()
        shown = await status(shard, TEXT)
        second = await anonymize(jobs, TEXT)
        third = await anonymize(jobs, TEXT)

    assert (again.outcome, again.replayed) == (Outcome.REFUSED, False)
    assert shown.total_credits == 90
    assert second.documents["subscriptions"] == 1
    assert second.anonymous_id not in (None, first.anonymous_id)
    assert (third.documents, third.anonymous_id) == ({}, None)
    assert traces(mongo.database, TEXT) == []


@in_loop
async def test_a_key_has_its_first_answer_and_is_good_for_one_user(mongo: MongoSetup) -> None:
    async with world(mongo, TEXT, BOB) as (_, jobs, _shards):
        first = await anonymize(jobs, TEXT, "k-1")

        repeat = await jobs.ask(UserId(TEXT), "key:k1", "k-1")
        other = await jobs.ask(UserId(BOB), "key:k1", "k-1")

    assert repeat is not None
    assert (repeat.report, repeat.replayed) == (first, True)
    assert other is None
    assert traces(mongo.database, BOB)


class CrashedError(Exception):
    """Whoever carried the anonymisation out ended amid it."""


class Crashing:
    """A database handle of whose uses only so many are left."""

    def __init__(self, database: Documents, uses: int) -> None:
        self._database = database
        self.left = uses

    def _use(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise CrashedError

    def __getitem__(self, name: str) -> Any:
        self._use()
        return self._database[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("allotment_", "subscriptions", "dailycredits", "usages")):
            self._use()
        return getattr(self._database, name)


@pytest.mark.parametrize("uses", range(0, 60, 3))
@in_loop
async def test_it_goes_on_wherever_it_was_cut_off(embedded: MongoSetup, uses: int) -> None:
    async with world(embedded, TEXT, BOB) as (shard, jobs, shards):
        foreign_documents(embedded.database, TEXT)
        stripe_documents(embedded.database, TEXT)
        before = sums(embedded.database)
        job = await jobs.begin(UserId(TEXT), None)
        assert job is not None
        crashing: Any = Crashing(embedded.database, 10_000)
        papers = MongoRenaming(crashing, "users")
        dying = jobs_of(embedded, papers, shards)
        crashing.left = uses

        with contextlib.suppress(CrashedError):
            await dying.carry_out(job)
        refused = await ask_one(shard, charge_call(TEXT, 1, "amid it", keep_refusal=False))
        report = await anonymize(jobs, TEXT)

        assert refused.outcome in (Outcome.UNAVAILABLE, Outcome.DONE, Outcome.REFUSED)
        charged = refused.outcome is Outcome.DONE  # It was not fenced yet.
        assert report.finished_at is not None
        assert traces(embedded.database, TEXT) == []
        after = sums(embedded.database)
        if not charged:
            assert after == before


@in_loop
async def test_a_shard_that_does_not_answer_is_asked_again(mongo: MongoSetup) -> None:
    async with world(mongo, TEXT) as (_, jobs, shards):
        shards.down = 3

        report = await anonymize(jobs, TEXT)

    assert report.finished_at is not None
    assert report.waits_for is None
    assert traces(mongo.database, TEXT) == []


@in_loop
async def test_the_fence_stands_while_shards_run_that_nobody_could_tell(mongo: MongoSetup) -> None:
    tables = MemoryTables(even(1, 1), Plan(2, 1, 2048, NOON))
    async with world(mongo, TEXT) as (_, jobs, _shards):
        jobs._check_told = partial(check_grown, tables)
        job = await jobs.begin(UserId(TEXT), None)
        assert job is not None

        with pytest.raises(StorageUnavailableError):
            await jobs.carry_out(job)
        (fenced,) = mongo.database.allotment_accounts.find({"_id": TEXT})
        tables.table = even(2, 2)
        report = await anonymize(jobs, TEXT)

    assert fenced["fenced"] == job.anonymization_id
    assert report.finished_at is not None
    assert traces(mongo.database, TEXT) == []


@in_loop
async def test_nothing_is_decided_behind_the_fence_be_it_by_whom_nobody_knows(
    mongo: MongoSetup,
) -> None:
    async with world(mongo, TEXT) as (_, jobs, shards):
        papers = MongoRenaming(mongo.database, "users")
        async with running(MongoStore(mongo.database), clock=Clock(NOON)) as rival:
            await status(
                rival, TEXT
            )  # It has the account in its RAM, and nobody asks it to let go.
            job = await jobs.begin(UserId(TEXT), None)
            assert job is not None

            papers.fence(job)
            await jobs._let_go(job)
            papers.seal(job)

            (owner, stray) = [
                await ask_one(shard, charge_call(TEXT, 1, f"late {n}"))
                for n, shard in enumerate((shards.shards[0], rival))
            ]
            assert (owner.outcome, stray.outcome) == (Outcome.UNAVAILABLE, Outcome.UNAVAILABLE)
            bob = await ask_one(rival, credit_call(BOB, 900))
            assert bob.outcome is Outcome.DONE
        await anonymize(jobs, TEXT)
    assert traces(mongo.database, TEXT) == []


@in_loop
async def test_entries_that_no_view_contains_are_written_first(mongo: MongoSetup) -> None:
    store = mongo.store
    assert isinstance(store, MongoStore)
    async with running(store, clock=Clock(NOON), views=False) as dead:
        await ask_one(dead, credit_call(TEXT, 900, 10))
        await ask_one(dead, charge_call(TEXT, 30, "c"))
    async with world(mongo) as (shard, jobs, _):
        report = await anonymize(jobs, TEXT)

        assert report.anonymous_id is not None
        shown = await status(shard, report.anonymous_id)

    assert (shown.total_credits, shown.credits_used) == (900, 30)
    assert mongo.document("usages", credit_amount=30)["user_id"] == report.anonymous_id
    assert traces(mongo.database, TEXT) == []


@in_loop
async def test_a_broken_journal_is_waited_for_and_named(mongo: MongoSetup) -> None:
    store = mongo.store
    assert isinstance(store, MongoStore)
    async with running(store, clock=Clock(NOON), views=False) as dead:
        await ask_one(dead, credit_call(TEXT, 900, 10))
        await ask_one(dead, charge_call(TEXT, 30, "c"))
    spoilt = mongo.database.allotment_journal.find_one({"_id": f"{TEXT} 1"})
    assert spoilt is not None
    mongo.database.allotment_journal.delete_one({"_id": f"{TEXT} 1"})
    async with world(mongo) as (_, jobs, _shards):
        carrying = asyncio.create_task(jobs.run())
        job = await jobs.begin(UserId(TEXT), None)
        assert job is not None
        while not (await jobs.newest(1))[0].waits_for:
            await asyncio.sleep(0.01)
        waiting = (await jobs.newest(1))[0]
        mongo.database.allotment_journal.insert_one(spoilt)
        done = await jobs.wait(job)
        carrying.cancel()
        await asyncio.wait([carrying])

    assert (waiting.waits_for, waiting.finished_at) == ("JournalBroken", None)
    assert done.step is Step.DONE
    assert traces(mongo.database, TEXT) == []


@in_loop
async def test_what_may_still_land_of_a_process_that_is_gone_meets_the_fence(
    mongo: MongoSetup,
) -> None:
    store = mongo.store
    assert isinstance(store, MongoStore)
    async with world(mongo, TEXT) as (_, jobs, _shards):
        store._doubted_at = time.monotonic()

        report = await anonymize(jobs, TEXT)

    assert report.finished_at is not None
    assert report.finished_at - NOON > timedelta(seconds=29)


@in_loop
async def test_what_stripe_tells_later_goes_to_the_anonymous_user(mongo: MongoSetup) -> None:
    stripe = MongoStripe(mongo.database)
    async with world(mongo, TEXT) as (_, jobs, _shards):
        stripe_documents(mongo.database, TEXT)
        read_before = stripe.record("sub_1")
        assert read_before is not None

        report = await anonymize(jobs, TEXT)

    record = stripe.record("sub_1")
    assert record is not None
    assert (record.user_id, record.metadata_user) == (report.anonymous_id, report.anonymous_id)
    stale = read_before.__class__(**{n: getattr(read_before, n) for n in read_before.__slots__})
    object.__setattr__(stale, "revision", read_before.revision + 1)
    assert not stripe.save(stale)
    waiting = stripe.pending("sub_1")
    assert all(report.anonymous_id in event.body for event in waiting if report.anonymous_id)


def test_every_statement_of_a_done_anonymisation_is_about_nobody(mongo: MongoSetup) -> None:
    ledger = MongoAnonymizations(mongo.database)
    job = Anonymization("anm_1", UserId(TEXT), UserId("anon-1"), Step.LIFTING, None, {}, NOON)
    ledger.begin(job, "digest")
    assert ledger.begin(job._replace(anonymization_id="anm_2"), None).anonymization_id == "anm_1"

    ledger.finish(job, NOON)
    ledger.forget_keys(NOON + timedelta(days=1))

    (document,) = mongo.database[COLLECTION].find()
    assert document["_id"] == "anm_1"
    assert TEXT not in str(document)
    assert ledger.running() == []


@in_loop
async def test_another_users_stripe_subscription_that_names_this_one_stays_where_it_is(
    mongo: MongoSetup,
) -> None:
    stripe = MongoStripe(mongo.database)
    stripe.save(StripeRecord("sub_2", 1, 5, metadata_user=TEXT, user_id=UserId(BOB)))
    async with world(mongo, TEXT) as (_, jobs, _shards):
        report = await anonymize(jobs, TEXT)

    record = stripe.record("sub_2")
    assert record is not None
    assert (record.user_id, record.metadata_user) == (BOB, report.anonymous_id)


@in_loop
async def test_an_event_that_was_read_before_is_given_up_once_its_user_is_nobody(
    mongo: MongoSetup,
) -> None:
    events = MongoEvents(mongo.database)
    async with world(mongo, TEXT) as (_, jobs, _shards):
        (first, *_rest) = events.number(100)

        await anonymize(jobs, TEXT)
        events.bury(DeadLetter("crm", first, NOON, 3, "refused"))

    assert events.find(first.record.id) is None
    assert [e.order for e in events.after(0, 100)] == [*range(1, events.head() + 1)]
    assert traces(mongo.database, TEXT) == []


@in_loop
async def test_two_janitors_at_once_count_and_rename_every_document_once(
    embedded: MongoSetup,
) -> None:
    store = embedded.store
    assert isinstance(store, MongoStore)
    author = Author(TEXT)
    write(store, [author.add(), *author.use_often(2 * BATCH + 50)])
    async with world(embedded, BOB) as (_, jobs, shards):
        before = sums(embedded.database)
        job = await jobs.begin(UserId(TEXT), None)
        assert job is not None
        others = [
            jobs_of(embedded, MongoRenaming(embedded.database, "users"), shards) for _ in range(2)
        ]

        running = [asyncio.create_task(other.run()) for other in others]
        done = await jobs_of_done(jobs, job)
        for one in running:
            one.cancel()
        await asyncio.wait(running)

    entries = 2 * BATCH + 51
    assert (done.documents["allotment_journal"], done.documents["usages"]) == (entries, entries - 1)
    assert sums(embedded.database) == before
    assert traces(embedded.database, TEXT) == []


async def jobs_of_done(jobs: Anonymizations, job: Anonymization) -> Anonymization:
    """Return a job that others carry out, once it is done."""
    while True:
        known = await asyncio.to_thread(jobs._ledger.find, job.anonymization_id)
        if known is not None and known.step is Step.DONE:
            return known
        await asyncio.sleep(0.01)


@in_loop
async def test_documents_that_are_not_as_we_write_them_are_renamed_and_nobody_elses_is_taken(
    mongo: MongoSetup,
) -> None:
    journal = mongo.database.allotment_journal
    async with world(mongo, TEXT, BOB) as (_, jobs, _shards):
        mongo.database.allotment_events.insert_one({"_id": "theirs", "user_id": TEXT, "data": 5})
        journal.insert_one({"_id": 5, "command_id": f"{TEXT} theirs", "body": 7})
        journal.insert_one({"_id": f"{TEXT} 900", "command_id": "edited", "answer": 7})
        journal.update_one({"_id": f"{BOB} 2"}, {"$set": {"command_id": f"{TEXT} edited"}})

        report = await anonymize(jobs, TEXT)

    assert report.finished_at is not None
    assert traces(mongo.database, TEXT) == []
    theirs = journal.find_one({"_id": f"{BOB} 2"})
    assert theirs is not None
    assert theirs["user_id"] == BOB
    assert journal.find_one({"_id": 5}) is not None

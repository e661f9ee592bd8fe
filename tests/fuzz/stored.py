"""What MongoDB holds: entries of the journal, and documents that any program may have written."""

import contextlib
import random
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import bson
from bson import ObjectId

from actors.mongo.documents.usages import read_usage
from actors.mongo.ids import as_stored, ids_shown_as, key_of, others, shown, spelled
from actors.mongo.references import References, with_ids_spelled
from actors.protocol.store import JournalBrokenError
from actors.shard.broken_journals import recover_or_name
from actors.shard.packing import packed, unpacked
from domain.api.list_answers import history_entry, subscription_record
from domain.documents.holds import hold_document
from domain.documents.journal import entry_document, read_entry, read_or_name
from domain.documents.recovery import Stored
from domain.documents.subscriptions import UnreadableError, read_subscription
from domain.holds import HoldPlaced
from domain.ids import shown_id
from domain.messages import Entry
from domain.values import Policy, Status
from tests.builders.ledger import NOON, USER, Ledger, ledger_with
from tests.fuzz.choices import Choices, as_read, edited
from tests.fuzz.target import Target

EXAMPLES = 24
EXAMPLE_BYTES = 48
POLICY = Policy()


def made_up() -> Sequence[bytes]:
    """Return bytes for choices; none at all choose no edit."""
    chance = random.Random(0)
    return [b"", *(chance.randbytes(EXAMPLE_BYTES) for _ in range(EXAMPLES))]


@lru_cache
def entries() -> Sequence[dict[str, Any]]:
    """Return entries of most kinds, as documents."""
    ledger = ledger_with(100, 10)
    ledger.charge(5, NOON)
    ledger.charge(10_000, NOON)
    ledger.settle(ledger.held(7, NOON), 3, NOON)
    ledger.release(ledger.held(7, NOON), NOON)
    ledger.open_day(NOON + timedelta(days=1))
    ledger.change(NOON, status=Status.PAUSED, timezone="Asia/Tokyo", reason="moved")
    ledger.expire(NOON + timedelta(days=20))
    return [entry_document(entry) for entry in ledger.entries]


def read_an_entry(data: bytes) -> None:
    """Read an edited entry: what comes out is what was decided, or names what cannot be read."""
    choices = Choices(data)
    document = edited(choices.of(entries()), choices)
    read = read_or_name(document)
    if read is None:
        return
    history_entry(read)
    if isinstance(read, Entry):
        assert read_entry(entry_document(read)) == read, "it is written as it was read"


@lru_cache
def documents() -> Sequence[dict[str, Any]]:
    """Return a subscription, a day of it with a hold, and a record of use."""
    ledger = ledger_with(100, 10)
    placed = ledger.hold(7, NOON)
    assert isinstance(placed, HoldPlaced), placed
    name = ObjectId("6b0a96d692994d6854a54f4a")
    stripe = {"subscription_id": "sub_1", "status": "active", "items": [{"quantity": 1}]}
    void = {"from_day": "2026-03-05", "kept": 1, "parts": 2, "until": "2026-03-07"}
    grant = {"grant_id": ObjectId(), "amount": 110, "system_portion": 10, "share_version": 1}
    return [
        {
            "_id": name,
            "user_id": USER,
            "start_date": NOON,
            "end_date": NOON + timedelta(days=10),
            "total_credits": 110,
            "system_portion": 10,
            "spendable_credits": 100,
            "status": "active",
            "timezone": "Europe/Berlin",
            "timezones": [{"timezone": "Asia/Tokyo", "until": "2026-03-01"}],
            "grants": [
                grant
                | {
                    "from_day": "2026-03-02",
                    "days": 5,
                    "payment": {"transaction_id": "t"},
                    "voids": [void],
                }
            ],
            "stripe": stripe,
            "applied_seq": 2,
        },
        {
            "_id": ObjectId(),
            "subscription_id": name,
            "date": NOON.replace(hour=0) - timedelta(hours=1),
            "credits_used": 5,
            "credits_charged": 5,
            "applied_seq": 2,
            "low_credits_told": True,
            "low_credits_told_percent": 10,
            "holds": [hold_document(placed.hold)],
        },
        {
            "_id": ObjectId(),
            "user_id": USER,
            "subscription_id": name,
            "service_type": "chat",
            "credit_amount": 5,
            "details": {"of": ["anything"]},
            "timestamp": NOON,
            "price": {"service": "chat", "credits_per_unit": "0.5", "unit_size": 1},
        },
    ]


def read_a_subscription(data: bytes) -> None:
    """Read a subscription and its day, edited: they come to an account that can be asked."""
    choices = Choices(data)
    subscription, day, _ = documents()
    subscription, day = edited(subscription, choices), edited(day, choices)
    if "_id" not in subscription:  # Every document has one.
        return
    days = list(References([subscription["_id"]]).read([day]))
    spelled_ones = with_ids_spelled(subscription)
    with contextlib.suppress(UnreadableError):
        subscription_record(USER, read_subscription(spelled_ones, "UTC"), None, NOON)
    with contextlib.suppress(JournalBrokenError):  # Which is its user's matter alone.
        account = recover_or_name(Stored(USER, 2, [spelled_ones], days), NOON, POLICY).account
        assert unpacked(packed(account)) == account
        ledger = Ledger(POLICY, account)
        ledger.status(NOON)
        ledger.charge(5, NOON)
        ledger.record(5, NOON)
        ledger.status(NOON)


def read_a_record(data: bytes) -> None:
    """Read an edited record of use. A query finds those with a date only."""
    choices = Choices(data)
    record = edited(documents()[2], choices)
    if {"_id", "user_id"} <= record.keys():
        read_usage(record | {"timestamp": NOON}).model_dump_json()


def read_an_id(data: bytes) -> None:
    """Spell an id of any type, and read any text as a spelling."""
    choices = Choices(data)
    value = as_read({"": choices.value()})[""]
    name = spelled(value)
    shown(value)
    hash(key_of(value))
    others(value)
    if name is not None:
        assert type(as_stored(name)) is type(value), "an id keeps its type"
    text = choices.rest().decode("utf-8", "replace")
    for one in (text, *([value] if isinstance(value, str) else [])):
        shown_id(one)
        for found in ids_shown_as(one):
            shown(found)
            bson.encode({"_id": found})


def spellings() -> Sequence[bytes]:
    """Return choices of a value that is followed by a spelling."""
    texts = ("5", '"5"', "true", *(spelled(document["_id"]) or "" for document in documents()))
    texts += ('{"$numberLong": "5"}', '{"$binary": {"base64": "AA==", "subType": "04"}}')
    texts += ('{"$date": {"$numberLong": "5"}}', '{"$numberDecimal": "1.5"}', '{"$oid": "00"}')
    return [*made_up(), *(b"\1\0" + text.encode() for text in texts)]


TARGETS = (
    Target("entries", made_up, read_an_entry),
    Target("subscriptions", made_up, read_a_subscription),
    Target("records", made_up, read_a_record),
    Target("ids", spellings, read_an_id),
)

"""A value of every BSON type in every field that we read of other programs, and what becomes of it.

`python -m tests.builders.bson_types` writes the table into docs/foreign-writers.md.
"""

import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bson import Binary, Code, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UUID_SUBTYPE

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import MongoWire
from actors.mongo.preparation import prepare
from actors.protocol.queries import UsageQuery
from domain.documents.recovery import Recovered, recover
from domain.holds import make_hold_id
from domain.values import UserId
from tests.builders.authors import NOON, POLICY
from tests.fakes.setups import MongoSetup

DOCS = Path(__file__).parents[2] / "docs" / "foreign-writers.md"
BEGIN, END = (
    "<!-- types: made by python -m tests.builders.bson_types -->\n",
    "<!-- end of types -->",
)
MISSING = object()
MIDNIGHT = NOON.replace(hour=0)
TYPES: dict[str, Any] = {
    "missing": MISSING,
    "null": None,
    "int": 7,
    "long": Int64(7),
    "whole double": 7.0,
    "whole Decimal128": Decimal128("7"),
    "fraction": 7.5,
    "Decimal128 fraction": Decimal128("7.25"),
    "negative": -7,
    "NaN": float("nan"),
    "past 2^53": 2**53,
    "text": "seven",
    "digits": "7",
    "bool": True,
    "date": NOON,
    "ObjectId": ObjectId("6b0a96d692994d6854a54f4a"),
    "UUID": Binary(uuid.UUID(int=7).bytes, UUID_SUBTYPE),
    "object": {"a": 1},
    "array": [7],
    "timestamp": Timestamp(7, 0),
    "regex": Regex("7"),
    "code": Code("7"),
    "MinKey": MinKey(),
}
READ, QUARANTINED, AS_MISSING = "read", "quarantined", "as missing"
CHARGED, NOT_LISTED, ZERO = "our charges count", "not listed", "counts as 0"
REFUSED = "refused by MongoDB"
CHARGED_BY_US = 30
SUBSCRIPTION_FIELDS = (
    "_id",
    "user_id",
    "start_date",
    "end_date",
    "status",
    "timezone",
    "timezones",
    "timezones.timezone",
    "timezones.until",
    "total_credits",
    "system_portion",
    "spendable_credits",
    "grants",
    "grants.amount",
    "grants.system_portion",
    "grants.from_day",
    "grants.days",
    "grants.payment",
    "stripe",
)
DAY_FIELDS = ("date", "credits_used", "credits_used, ours", "holds")
HOLD_FIELDS = ("holds.hold_id", "holds.credit_amount", "holds.expires_at")
PACK_FIELDS = (
    "amount",
    "system_portion",
    "spendable_credits",
    "credits_used",
    "category",
    "priority",
    "created_at",
    "expires_at",
    "payment",
    "holds",
    "expired_at",
)
USAGE_FIELDS = ("timestamp", "credit_amount", "token_count", "tokens", "service_type", "details")


@dataclass(frozen=True)
class Cell:
    """One type in one field, in a document of a user of its own."""

    field: str
    type: str
    number: int

    @property
    def user_id(self) -> UserId:
        return UserId(f"user-{self.number}")


def cells(fields: tuple[str, ...], first: int) -> list[Cell]:
    pairs = [(field, kind) for field in fields for kind in TYPES]
    return [Cell(field, kind, first + place) for place, (field, kind) in enumerate(pairs)]


def with_value(document: dict[str, Any], path: str, kind: str) -> dict[str, Any]:
    """Return a document with a value of a type in a field, or in the one part of a list."""
    name, _, part = path.partition(".")
    if part:
        return document | {name: [with_value(document[name][0], part, kind)]}
    rest = {key: value for key, value in document.items() if key != name}
    return rest if TYPES[kind] is MISSING else rest | {name: TYPES[kind]}


def subscription(user_id: UserId) -> dict[str, Any]:
    """Return a subscription of another program with one grant."""
    return {
        "_id": f"of {user_id}",
        "user_id": user_id,
        "start_date": MIDNIGHT,
        "end_date": MIDNIGHT + timedelta(days=30),
        "status": "active",
        "timezone": "Europe/Berlin",
        "timezones": [{"timezone": "Europe/Berlin", "until": "2026-01-01"}],
        "total_credits": 8,
        "system_portion": 1,
        "spendable_credits": 7,
        "grants": [
            {"grant_id": "g", "amount": 8, "system_portion": 1, "from_day": "2026-03-10", "days": 7}
        ],
        "stripe": {"subscription_id": "sub_1"},
    }


def day(user_id: UserId) -> dict[str, Any]:
    """Return a day of a user's subscription."""
    return {"subscription_id": f"of {user_id}", "date": MIDNIGHT, "credits_used": 5}


def held_day(user_id: UserId) -> dict[str, Any]:
    """Return a day of ours with a hold."""
    hold = {
        "hold_id": make_hold_id(NOON, user_id, "h", "chat"),
        "credit_amount": 5,
        "expires_at": NOON + timedelta(hours=1),
        "timestamp": NOON,
    }
    return day(user_id) | {"holds": [hold]}


# --- what becomes of a cell ---------------------------------------------------------------


def subscriptions(setup: MongoSetup) -> Iterator[tuple[Cell, str]]:
    """Yield what becomes of subscriptions."""
    known = cells(SUBSCRIPTION_FIELDS, 0)
    for cell in known:
        document = with_value(subscription(cell.user_id), cell.field, cell.type)
        if cell.field == "_id" and cell.type == "missing":
            document["_id"] = ObjectId()
        if not (_is_same_number(cell) or _is_refused(cell)):
            setup.database.subscriptions.insert_one(document)
    found = _recovered(setup, known)
    for cell in known:
        missing = found[cell.number - list(TYPES).index(cell.type)]
        if cell.field == "user_id":
            owner = setup.overview.owner_of(f"of {cell.user_id}")
            yield cell, QUARANTINED if owner is None else READ
        else:
            yield cell, _of_subscription(cell, found[cell.number], missing)


def _is_same_number(cell: Cell) -> bool:
    """Say whether another document has the id already: MongoDB takes 7 and 7.0 for one."""
    return cell.field == "_id" and cell.type in ("long", "whole double", "whole Decimal128")


def _is_refused(cell: Cell) -> bool:
    return cell.field == "_id" and cell.type in ("array", "regex")


def _of_subscription(cell: Cell, found: Recovered, missing: Recovered) -> str:
    if _is_same_number(cell):
        return READ
    if _is_refused(cell):
        return REFUSED
    if not found.account.subscriptions:
        return QUARANTINED  # By the load of its user, or by nobody but a sweep.
    ours, plain = (
        [replace(s, subscription_id="") for s in one.account.subscriptions]
        for one in (found, missing)
    )
    return AS_MISSING if ours == plain and cell.field in ("grants.payment", "stripe") else READ


def days(setup: MongoSetup) -> Iterator[tuple[Cell, str]]:
    """Yield what becomes of days."""
    known = cells(DAY_FIELDS, 10_000)
    for cell in known:
        document = day(cell.user_id)
        if cell.field.endswith("ours"):
            document |= {"credits_charged": CHARGED_BY_US, "applied_seq": 0}
        setup.database.subscriptions.insert_one(subscription(cell.user_id))
        setup.database.dailycredits.insert_one(
            with_value(document, cell.field.partition(",")[0], cell.type)
        )
    found = _recovered(setup, known)
    for cell in known:
        yield cell, _of_day(cell, found[cell.number])


def _of_day(cell: Cell, found: Recovered) -> str:
    (one,) = found.account.subscriptions
    if one.day is None:
        return QUARANTINED
    if one.day.used == CHARGED_BY_US:
        return CHARGED
    if cell.field == "holds" and found.quarantined:
        return QUARANTINED
    return ZERO if one.day.used == 0 else READ


def holds(setup: MongoSetup) -> Iterator[tuple[Cell, str]]:
    """Yield what becomes of holds."""
    known = cells(HOLD_FIELDS, 20_000)
    for cell in known:
        document = with_value(held_day(cell.user_id), cell.field, cell.type)
        setup.database.subscriptions.insert_one(subscription(cell.user_id))
        setup.database.dailycredits.insert_one(document)
    found = _recovered(setup, known)
    for cell in known:
        (one,) = found[cell.number].account.subscriptions
        yield cell, READ if one.holds else QUARANTINED


def packs(setup: MongoSetup) -> Iterator[tuple[Cell, str]]:
    """Yield what becomes of packs."""
    known = cells(PACK_FIELDS, 40_000)
    for cell in known:
        document = {
            "_id": f"of {cell.user_id}",
            "user_id": cell.user_id,
            "amount": 108,
            "system_portion": 7,
            "spendable_credits": 101,
        }
        setup.database.packs.insert_one(with_value(document, cell.field, cell.type))
    found = _recovered(setup, known)
    for cell in known:
        missing = found[cell.number - list(TYPES).index(cell.type)]
        yield cell, _of_pack(cell, found[cell.number], missing)


def _of_pack(cell: Cell, found: Recovered, missing: Recovered) -> str:
    if found.quarantined:
        return QUARANTINED
    ours, plain = (
        [replace(pack, pack_id="") for pack in one.account.packs] for one in (found, missing)
    )
    return AS_MISSING if ours == plain and cell.field in ("payment", "expired_at") else READ


def usages(setup: MongoSetup) -> Iterator[tuple[Cell, str]]:
    """Yield what becomes of usage records."""
    known = cells(USAGE_FIELDS, 30_000)
    for cell in known:
        document = {"user_id": cell.user_id, "timestamp": NOON, "credit_amount": 5}
        setup.database.usages.insert_one(with_value(document, cell.field, cell.type))
        query = UsageQuery(cell.user_id, MIDNIGHT, NOON + timedelta(days=9), 9, None)
        items = setup.reads.usage_page(query).items
        yield cell, _of_usage(cell, None if not items else items[0].model_dump().get(cell.field))


def _of_usage(cell: Cell, value: Any) -> str:
    if cell.field == "timestamp":
        return READ if value is not None else NOT_LISTED
    if cell.field == "credit_amount":
        return READ if value else ZERO
    return AS_MISSING if value is None else READ


def _recovered(setup: MongoSetup, known: list[Cell]) -> dict[int, Recovered]:
    stored = setup.store.load([cell.user_id for cell in known], NOON)
    return {
        cell.number: recover(one, NOON, POLICY) for cell, one in zip(known, stored, strict=True)
    }


# --- the table ----------------------------------------------------------------------------

PARTS: dict[str, Callable[[MongoSetup], Iterator[tuple[Cell, str]]]] = {
    "`subscriptions`": subscriptions,
    "`dailycredits`": days,
    "`dailycredits`, a hold in it": holds,
    "`packs`": packs,
    "`usages`": usages,
}


def outcomes(setup: MongoSetup) -> dict[str, dict[tuple[str, str], str]]:
    """Return what becomes of each (field, type), by collection."""
    return {
        name: {(cell.field, cell.type): outcome for cell, outcome in part(setup)}
        for name, part in PARTS.items()
    }


def table(found: dict[str, dict[tuple[str, str], str]]) -> str:
    """Return the table as Markdown: a block a collection, a row a field, types of one fate together."""
    lines: list[str] = []
    for name, cells_of in found.items():
        lines += [f"| {name} | is read | otherwise |", "| --- | --- | --- |"]
        for field in dict.fromkeys(field for field, _ in cells_of):
            by_fate: dict[str, list[str]] = {}
            for kind in TYPES:
                by_fate.setdefault(cells_of[field, kind], []).append(kind)
            most = max(by_fate, key=lambda fate: len(by_fate[fate]))
            by_fate[most] = ["anything else" if len(by_fate) > 1 else "anything"]
            read = ", ".join(by_fate.pop(READ, [""]))
            rest = "; ".join(f"*{fate}*: {', '.join(kinds)}" for fate, kinds in by_fate.items())
            lines.append(f"| `{field}` | {read} | {rest} |")
        lines.append("")
    return "\n".join(lines)


def written() -> str:
    """Return the table that the docs have."""
    return DOCS.read_text().partition(BEGIN)[2].partition(END)[0]


def write(text: str) -> None:
    """Put a table into the docs."""
    before, _, rest = DOCS.read_text().partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")


def main() -> None:
    with (
        TemporaryDirectory() as folder,
        EmbeddedMongo(Path(folder) / "mongo", wire=MongoWire()) as server,
    ):
        database = connect(server.uri, "types")
        prepare(database)
        write(table(outcomes(MongoSetup(database))))
    sys.stdout.write(f"{DOCS} is written\n")


if __name__ == "__main__":
    main()

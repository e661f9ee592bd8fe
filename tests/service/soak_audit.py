"""What is checked after a soak, at rest: whatever was acknowledged against whatever is stored."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from actors.mongo.embedded_wire import Documents
from tests.patience import PATIENCE_SECONDS
from tests.service.foreign_edits import compare
from tests.service.mixed_work import HOLD_SECONDS_MAX, Books
from tests.service.receiver_process import ReceiverProcess
from tests.service.running import RunningService, wait_until
from tests.service.soak_stage import Stage
from tests.service.stripe_burst import check

REST_SECONDS_MAX = PATIENCE_SECONDS
EXPIRED_SECONDS_MAX = HOLD_SECONDS_MAX + 60.0
EXAMPLES = 3
MINE = {"user_id": {"$regex": "^soak-"}}


def problems_at_rest(on: Stage, stripe_names: list[str]) -> list[str]:
    """Return whatever is not as it must be; nothing changes any more."""
    books = on.workers.books
    checks: list[Callable[[], list[str]]] = [
        lambda: [f"an answer nobody expects: {kind}" for kind in books.answers if "unex" in kind],
        lambda: wrong_charges(on.database, books),
        lambda: wrong_grants(on.database, books),
        lambda: open_holds(on.service, on.database),
        lambda: wrong_edited(on.service, on.database, on.edited, books),
        lambda: wrong_stripe(on, stripe_names),
        lambda: wrong_events(on.database, on.receiver),
    ]
    found: list[str] = []
    for one in checks:
        found += one()
    return found


def sums(database: Documents, collection: str, field: str) -> int:
    """Return the sum of a field over the documents of the users that nobody else edits."""
    return sum(int(one.get(field) or 0) for one in database[collection].find(MINE))


def reached(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for something; return whether it has come."""
    try:
        wait_until(condition, seconds)
    except AssertionError:
        return False
    return True


def wrong_charges(database: Documents, books: Books) -> list[str]:
    """Hold every acknowledged charge against the records, and both against the days."""
    total = sum(books.charged.values())
    reached(lambda: database.usages.count_documents(MINE) >= len(books.charged), REST_SECONDS_MAX)
    reached(lambda: sums(database, "dailycredits", "credits_used") == total, REST_SECONDS_MAX)
    records = {str(one["_id"]): int(one["credit_amount"]) for one in database.usages.find(MINE)}
    days = sums(database, "dailycredits", "credits_used")
    print(
        f"charges {len(books.charged):,}, records {len(records):,}; credits acknowledged {total:,},"
        f" usages {sum(records.values()):,}, dailycredits {days:,}"
    )
    problems = []
    if records != books.charged:
        lost = sorted(books.charged.keys() - records.keys())
        unknown = sorted(records.keys() - books.charged.keys())
        problems.append(
            f"charges lost: {len(lost)} {lost[:EXAMPLES]}, unknown: {len(unknown)} {unknown[:EXAMPLES]}"
        )
    if days != total:
        problems.append(f"days have {days} credits used, acknowledged are {total}")
    return problems


def stored_credits(database: Documents) -> Counter[str]:
    """Return what subscriptions say was added, by user."""
    stored = Counter[str]()
    for one in database.subscriptions.find(MINE):
        stored[one["user_id"]] += int(one["total_credits"])
    return stored


def wrong_grants(database: Documents, books: Books) -> list[str]:
    """Hold every acknowledged payment against the subscriptions."""
    reached(lambda: stored_credits(database) == books.granted, REST_SECONDS_MAX)
    stored = stored_credits(database)
    wrong = {user for user in stored | books.granted if stored[user] != books.granted[user]}
    print(f"credits granted {books.granted.total():,}, subscriptions {stored.total():,}")
    return [f"granted and stored credits differ: {sorted(wrong)[:EXAMPLES]}"] if wrong else []


def open_holds(service: RunningService, database: Documents) -> list[str]:
    """Wait until every hold is over, in the documents and in RAM; return what is still held."""
    of_a_hold = {"holds.0": {"$exists": True}}

    def left() -> tuple[int, int]:
        with service.client() as http:
            shards = http.get("/admin/shards").raise_for_status().json()
        in_ram = sum(shard["holds_open"] for shard in shards)
        return database.dailycredits.count_documents(of_a_hold), in_ram

    is_over = reached(lambda: left() == (0, 0), EXPIRED_SECONDS_MAX)
    print(f"days with open holds, and holds in RAM: {left()}")
    return [] if is_over else ["holds are open that have expired"]


def wrong_edited(
    service: RunningService, database: Documents, users: list[str], books: Books
) -> list[str]:
    """Compare what edited users are shown with MongoDB, and RAM with MongoDB by two sweeps."""
    found: dict[str, Any] = compare(service, database, users)
    records = {str(one["_id"]): one["credit_amount"] for one in database.usages.find()}
    lost = [name for name, amount in books.charged_edited.items() if records.get(name) != amount]
    print(f"edited: {found}, charges {len(books.charged_edited):,}, lost {len(lost)}")
    problems = [f"charges to edited users lost: {lost[:EXAMPLES]}"] if lost else []
    if found["differing"] or any(found["drifts"]):
        problems.append(f"RAM and MongoDB differ: {found}")
    return problems


def wrong_stripe(on: Stage, names: list[str]) -> list[str]:
    """Compare every subscription of Stripe's, in MongoDB and in RAM, with Stripe."""
    check(on.service, on.local, names, on.storm)
    return on.storm.problems


def wrong_events(database: Documents, receiver: ReceiverProcess) -> list[str]:
    """Hold what the endpoint was told against the events that were decided, by their ids."""

    def wanted() -> set[str]:
        return {str(one["_id"]) for one in database.allotment_events.find({}, {"_id": 1})}

    def heard() -> set[str]:
        return {one.event["id"] for one in receiver.received}

    reached(lambda: wanted() <= heard(), REST_SECONDS_MAX)
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for one in receiver.received:
        bodies[one.event["id"]].add(one.body)
    differing = [name for name, texts in bodies.items() if len(texts) > 1]
    repeats = len(receiver.received) - len(bodies)
    print(f"events {len(wanted()):,}, told {len(bodies):,}, repeats with the same body {repeats}")
    problems = [f"repeats with another body: {differing[:EXAMPLES]}"] if differing else []
    if missing := sorted(wanted() ^ heard()):
        problems.append(f"events decided and told differ: {len(missing)} {missing[:EXAMPLES]}")
    return problems

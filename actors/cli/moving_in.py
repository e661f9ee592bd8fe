"""The command that moves an application's own balances in: each is given once, as a grant or a pack."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import httpx
import typer

from actors.cli.key_store import database_told
from actors.cli.terminal import (
    AsJson,
    Service,
    fail,
    load_settings,
    out,
    print_json,
    print_table,
    progress_bar,
)
from actors.mongo.balances import Balance, Balances, UnreadBalance
from actors.mongo.connection import connect
from actors.settings import Settings
from domain.grants import split
from domain.values import Credits

SHOWN_MAX = 20  # Rows of the table.
NAMED_MAX = 100  # Documents that are named because nothing could be given.
TOGETHER = 8  # Requests on their way at once.
AWAY_SECONDS_MAX = 120.0  # How long the service may be away before the command gives up.
PAUSE_SECONDS = 0.5
PAYMENT = {"method": "import", "amount": 0, "currency": "xxx"}


class Outcome(StrEnum):
    """What became of a balance."""

    GIVEN = "given"
    BEFORE = "given before"
    REFUSED = "refused"


class AwayError(Exception):
    """The service has not answered for too long, or takes no requests of ours."""


@dataclass
class Plan:
    """What is to be given, in numbers, with the first of the users."""

    users: int = 0
    credits: int = 0
    spendable: int = 0
    empty: int = 0
    rows: list[tuple[str, ...]] = field(default_factory=list)
    skipped_count: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, name: str, reason: str) -> None:
        """Note a document of which nothing is given."""
        self.skipped_count += 1
        if len(self.skipped) < NAMED_MAX:
            self.skipped.append((name, reason))


def move_in(  # noqa: PLR0913 - where the balances are, and what they become
    *,
    collection: Annotated[
        str, typer.Option("--from", help="The collection that has the balances.")
    ],
    credits_field: Annotated[str, typer.Option("--credits", help="The field of the amount.")],
    user_field: Annotated[str, typer.Option("--user", help="The field of the user's id.")] = "_id",
    database: Annotated[
        str | None, typer.Option(help="Its database; without: ALLOTMENT_MONGO_DB.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Days over which a grant is spread.")] = 30,
    pack: Annotated[
        bool, typer.Option("--pack", help="Give packs, which any day may spend, without an end.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be given.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give users what a collection of the application's says that they have, each once.

    Interrupted or repeated, it gives nobody twice: what was given is known by collection and id. The
    collection is only read.
    """
    settings = load_settings()
    with database_told():
        balances = Balances(
            connect(uri_of(settings), database or settings.mongo_db),
            collection,
            user_field=user_field,
            credits_field=credits_field,
        )
        if not balances.is_there:
            fail(f"There is no collection {collection} in {database or settings.mongo_db}.")
        plan = planned(balances, settings)
        if not as_json:
            print_plan(plan)
        told: dict[str, Any] = {
            "users": plan.users,
            "credits": plan.credits,
            "spendable_credits": plan.spendable,
            "empty": plan.empty,
        }
        if not dry_run:
            counts = give_all(balances, plan, Service(settings), None if pack else days)
            told |= {outcome.name.lower(): counts[outcome] for outcome in Outcome}
    if as_json:
        skipped = [{"id": name, "reason": reason} for name, reason in plan.skipped]
        print_json(told | {"skipped_count": plan.skipped_count, "skipped": skipped})
        return
    for name, reason in plan.skipped:
        out.print(f"skipped {name}: {reason}", soft_wrap=True)
    if plan.skipped_count > len(plan.skipped):
        out.print(f"… and {plan.skipped_count - len(plan.skipped)} more", soft_wrap=True)
    if not dry_run:
        out.print(", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome))


def uri_of(settings: Settings) -> str:
    """Return where the running service's database is, or end the command."""
    if settings.mongo_uri is not None:
        return settings.mongo_uri.get_secret_value()
    kept = settings.data_dir / "mongo.uri"
    if not kept.exists():
        fail("There is no database: name it in ALLOTMENT_MONGO_URI, or start the service.")
    return kept.read_text().strip()


def planned(balances: Balances, settings: Settings) -> Plan:
    """Return what a collection gives. Raises StorageUnavailableError."""
    plan = Plan()
    for found in balances.read():
        if isinstance(found, UnreadBalance):
            plan.skip(found.name, found.reason)
        elif not found.credits:
            plan.empty += 1
        else:
            kept = found.credits - split(found.credits, settings.system_portion_bps)
            plan.users += 1
            plan.credits += found.credits
            plan.spendable += kept
            if len(plan.rows) < SHOWN_MAX:
                plan.rows.append((found.user_id, str(found.credits), str(kept)))
    return plan


def print_plan(plan: Plan) -> None:
    """Print the first users, and the sums of all."""
    rows = [*plan.rows]
    if plan.users > len(rows):
        rows.append((f"… and {plan.users - len(rows)} more", "", ""))
    total = (f"{plan.users} users", str(plan.credits), str(plan.spendable))
    print_table(("user", "credits", "of them spendable"), [*rows, total])
    out.print(f"{plan.empty} have none, {plan.skipped_count} cannot be read")


def give_all(
    balances: Balances, plan: Plan, service: Service, days: int | None
) -> Counter[Outcome]:
    """Give every balance, and count what became of them. Raises StorageUnavailableError."""
    counts: Counter[Outcome] = Counter()
    found = (b for b in balances.read() if isinstance(b, Balance) and b.credits)

    def give_one(balance: Balance) -> tuple[Balance, Outcome, str]:
        return balance, *give(http, balance, days)

    with (
        service.client() as http,
        ThreadPoolExecutor(TOGETHER) as pool,
        progress_bar("giving credits", plan.users) as progress,
    ):
        try:
            for some in in_parts(found, TOGETHER * 8):
                for balance, outcome, reason in pool.map(give_one, some):
                    counts[outcome] += 1
                    if outcome is Outcome.REFUSED:
                        plan.skip(balance.name, reason)
                progress(counts.total())
        except AwayError as error:
            fail(f"{error} {counts.total()} of {plan.users} are done: give the command again.")
    return counts


def in_parts(found: Iterator[Balance], size: int) -> Iterator[list[Balance]]:
    """Yield balances some at a time."""
    while some := list(islice(found, size)):
        yield some


def give(http: httpx.Client, balance: Balance, days: int | None) -> tuple[Outcome, str]:
    """Give one balance, as a grant over days or as a pack; say why where it is refused. AwayError.

    The key is remembered as long as the journal, the payment for ever: both are the balance's.
    """
    kind = {"kind": "pack"} if days is None else {"days": days}
    payment = PAYMENT | {"transaction_id": f"import-{balance.key}"}
    body = {"user_id": balance.user_id, "amount": Credits(balance.credits), "payment": payment}
    answer = send(http, body | kind, f"import-{balance.key}")
    if answer.status_code == httpx.codes.CREATED:
        replayed = "Idempotent-Replayed" in answer.headers
        return (Outcome.BEFORE if replayed else Outcome.GIVEN), ""
    problem = answer.json()
    if problem["code"] in {"duplicate_payment", "idempotency_key_reused"}:
        return Outcome.BEFORE, ""
    return Outcome.REFUSED, str(problem["detail"])


def send(http: httpx.Client, body: dict[str, Any], key: str) -> httpx.Response:
    """Return the answer to a gift, however often it takes to ask. AwayError."""
    deadline = time.monotonic() + AWAY_SECONDS_MAX
    while True:
        why, pause = "No service answers.", PAUSE_SECONDS
        try:
            headers = {"Idempotency-Key": key}
            answer = http.post("/subscription/credits", json=body, headers=headers)
        except httpx.HTTPError:
            pass
        else:
            if answer.status_code in {201, 409, 422}:
                return answer
            why = f"The service answers {answer.status_code}: {answer.text}"
            if answer.status_code not in {429, 500, 503}:
                raise AwayError(why)
            pause = float(answer.headers.get("Retry-After", pause))
        if time.monotonic() + pause > deadline:
            raise AwayError(why)
        time.sleep(pause)


def add_moving_in_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(move_in)

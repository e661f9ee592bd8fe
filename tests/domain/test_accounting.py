"""Executes the worked examples of docs/accounting.md, row by row."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from domain.charges import OnInsufficient, UsageRecorded
from domain.corrections import AdjustCredits, CreditsAdjusted, ReverseUsage, UsageReversed
from domain.decide import Decision
from domain.holds import HoldPlaced, HoldSettled, PlaceHold, SettleHold
from domain.messages import RecordUsage, Refusal, charge_in
from domain.pack_messages import AddPack, ExpirePack, PackAdded
from domain.packs import Category
from domain.sources import PackShare
from domain.stripe import VoidGrants
from domain.values import NO_CREDITS, Credits
from tests.builders.ledger import ONE_DAY, USER, pay, utc
from tests.builders.shard_ledger import ShardLedger

PAGE = Path(__file__).parents[2] / "docs" / "accounting.md"
DAY_ONE = utc("2026-03-02")
HEAD = "| when | what happens | answer | day | packs |"


@dataclass(frozen=True)
class Row:
    when: datetime
    happens: str
    answer: str
    day: int
    packs: int


def examples() -> Iterator[tuple[str, list[Row]]]:
    """Yield the tables of the page, named by heading and place."""
    heading, rows = "", []
    for line in [*PAGE.read_text().splitlines(), ""]:
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        if line.startswith("| day "):
            rows.append(read_row(line))
        elif rows and not line.startswith("|"):
            yield f"{heading}: {rows[-1].happens or rows[-1].when}", rows
            rows = []


def read_row(line: str) -> Row:
    when, happens, answer, day, packs = (cell.strip() for cell in line.strip("|").split("|"))
    return Row(instant(when), happens, answer, int(day), int(packs))


def instant(text: str) -> datetime:
    match = re.fullmatch(r"day (\d+), (\d\d):(\d\d)", text)
    assert match, text
    day, hour, minute = map(int, match.groups())
    return DAY_ONE + (day - 1) * ONE_DAY + timedelta(hours=hour, minutes=minute)


@dataclass
class Story:
    """One example: a user's ledger, and what its names stand for."""

    ledger: ShardLedger = field(default_factory=ShardLedger)
    packs: dict[str, str] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    charges: dict[str, str] = field(default_factory=dict)

    def happen(self, row: Row) -> str:
        """Let time pass to a row, let happen what it says, and return the answer."""
        self.let_lapse(row.when)
        if not row.happens:
            return ""
        for pattern, act in ACTS:
            match = re.fullmatch(pattern, row.happens)
            if match:
                return self.told(act(self, row.when, *match.groups()))
        raise AssertionError(f"nobody knows how to {row.happens!r}")

    def let_lapse(self, now: datetime) -> None:
        for one in self.ledger.account.holds():
            if one.over_at(now) <= now:
                self.ledger.expire_hold(one.hold.hold_id, now)
        for pack in self.ledger.account.packs:
            if not pack.is_live(now) and not pack.is_expiry_written:
                self.ledger.do(ExpirePack(USER, pack.pack_id), now)

    # --- what happens -------------------------------------------------------------------

    def keep_portion(self, _: datetime, percent: str) -> None:
        policy = self.ledger.policy
        self.ledger.policy = replace(policy, system_portion_bps=int(percent) * 100)

    def buy(self, now: datetime, amount: str, days: str) -> None:
        self.ledger.add(int(amount), int(days), now)

    def buy_pack(
        self, now: datetime, verb: str, name: str, amount: str, until: str, priority: str
    ) -> None:
        expires_at = None if until is None else instant(f"{until}, 00:00")
        category = Category.PAID if verb == "buy" else Category.PROMOTIONAL
        payment = pay(f"pack-{name}")
        command = AddPack(
            USER, Credits(int(amount)), payment, expires_at, int(priority or 50), category
        )
        added = self.ledger.do(command, now)
        assert isinstance(added, PackAdded)
        self.packs[added.pack.pack_id] = name

    def charge(self, now: datetime, verb: str, name: str | None, amount: str) -> Decision:
        rule = RULES[verb]
        command = RecordUsage(USER, "chat", Credits(int(amount)), on_insufficient=rule)
        decision = self.ledger.do(command, now)
        if isinstance(decision, UsageRecorded):
            self.charges[name or ""] = decision.usage_id
        return decision

    def hold(self, now: datetime, name: str, amount: str, least: str | None) -> Decision:
        at_least = None if least is None else Credits(int(least))
        decision = self.ledger.do(
            PlaceHold(USER, "chat", Credits(int(amount)), at_least=at_least), now
        )
        assert isinstance(decision, HoldPlaced)
        self.holds[name] = decision.hold.hold_id
        return decision

    def settle(self, now: datetime, name: str, amount: str) -> Decision:
        command = SettleHold(USER, self.holds[name], Credits(int(amount)))
        return self.ledger.do(command, now)

    def release(self, now: datetime, name: str) -> None:
        self.ledger.release(self.holds[name], now)

    def reverse(self, now: datetime, amount: str | None, name: str) -> Decision:
        part = None if amount is None else Credits(int(amount))
        return self.ledger.do(ReverseUsage(USER, self.charges[name], part, "it failed"), now)

    def adjust(self, now: datetime, how: str, amount: str, debt: str | None) -> Decision:
        by = Credits(int(amount)) if how == "by" else None
        to = Credits(int(amount)) if how == "to" else None
        return self.ledger.do(
            AdjustCredits(USER, by, to, "a wish", allow_debt=debt is not None), now
        )

    def refund(self, now: datetime, percent: str, name: str) -> None:
        """Tell what the refunds of a pack's payment come to in all, as Stripe's events do."""
        kept = 100 - int(percent)
        version = self.ledger.asked + 1
        self.ledger.do(VoidGrants(USER, f"pack-{name}", kept, 100, version), now)

    # --- what is answered ---------------------------------------------------------------

    def told(self, decision: Decision) -> str:  # noqa: PLR0911 - one a kind of decision
        match decision:
            case None:
                return ""
            case Refusal(shortfall=shortfall):
                at = shortfall and shortfall.available_at
                when = f", available day {(at - DAY_ONE).days + 1}" if at else ""
                return f"refused: {decision.reason}{when}"
            case HoldPlaced():
                of_day = decision.of_day
                amount = NO_CREDITS if of_day is None else of_day.credit_amount
                return self.sources(amount, decision.packs)
            case UsageRecorded() | HoldSettled():
                charge = charge_in(decision)
                assert charge is not None
                uncovered = charge.uncovered_credits
                parts = [self.sources(charge.day_amount, charge.packs)]
                parts += [f"uncovered {uncovered}"] if uncovered else []
                parts += ["late"] if charge.settles else []
                return ", ".join(parts)
            case UsageReversed(lapsed_credits=lapsed):
                rest = f", {lapsed} lapsed" if lapsed else ""
                return f"{decision.returned_credits} back{rest}"
            case CreditsAdjusted(credit_amount=amount) if amount >= 0:
                return f"given {amount}"
            case CreditsAdjusted():
                return self.sources(decision.day_amount, decision.packs)
            case _:
                raise AssertionError(decision)

    def sources(self, of_day: int, packs: tuple[PackShare, ...]) -> str:
        parts = [f"day {of_day}"] if of_day else []
        parts += [f"{self.packs.get(s.pack_id, 'pack')} {s.credit_amount}" for s in packs]
        return ", ".join(parts)


RULES = {
    "charge": OnInsufficient.REJECT,
    "record": OnInsufficient.RECORD,
    "cap": OnInsufficient.CAP,
}
ACTS: list[tuple[str, Callable[..., Decision]]] = [
    (r"the system keeps (\d+) percent", Story.keep_portion),
    (r"buy (\d+) over (\d+) days?", Story.buy),
    (
        r"(buy|give) pack (\w+) of (\d+)(?: until (day \d+))?(?: with priority (\d+))?",
        Story.buy_pack,
    ),
    (r"(charge|record|cap) (?:(\w+) of )?(\d+)", Story.charge),
    (r"hold (\w+) of (\d+)(?:, at least (\d+))?", Story.hold),
    (r"settle (\w+) at (\d+)", Story.settle),
    (r"release (\w+)", Story.release),
    (r"reverse (?:(\d+) of )?(\w+)", Story.reverse),
    (r"refund (\d+) percent of pack (\w+)", Story.refund),
    (r"adjust (by|to) (-?\d+)( with debt)?", Story.adjust),
]
EXAMPLES = list(examples())


def test_every_table_of_the_page_is_an_example() -> None:
    assert len(EXAMPLES) == PAGE.read_text().count(HEAD) > 10


@pytest.mark.parametrize("rows", [pytest.param(rows, id=name) for name, rows in EXAMPLES])
def test_the_example_holds(rows: list[Row]) -> None:
    story = Story()

    for row in rows:
        answer = story.happen(row)
        status = story.ledger.status(row.when)

        left = (status.day_remaining_credits, status.pack_credits)
        assert (answer, *left) == (row.answer, row.day, row.packs), row

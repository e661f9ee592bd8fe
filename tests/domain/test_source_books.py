"""Over a whole life, every source's book agrees: nothing is lost of a pack, and nothing minted."""

import json
from collections import Counter
from typing import Any

from hypothesis import given

from domain.comparison import difference, essence
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.decide import Decision
from domain.holds import HoldPlaced, HoldSettled, PlaceHold
from domain.messages import Refusal, charge_in
from domain.pack_messages import PackAdded
from domain.packs import Pack
from domain.values import Policy
from tests.builders.ledger import NOON, charge_of
from tests.builders.lives import KINDS, KINDS_OF_SOURCES, POLICIES, STEPS, TAKERS, Step, live
from tests.builders.shard_ledger import ShardLedger

BEGIN = [Step(0, "add", 300, 20), Step(0, "pack", 200, 9), Step(0, "pack", 90, 4)]


def given_packs(ledger: ShardLedger) -> dict[str, Pack]:
    """Return the packs as they were given, by id."""
    packs: dict[str, Pack] = {}
    for entry in ledger.entries:
        match entry.change:
            case PackAdded(pack=pack) | CreditsAdjusted(added=Pack() as pack):
                packs[pack.pack_id] = pack
    return packs


def shares_of_charges(ledger: ShardLedger) -> Counter[str]:
    """Return what packs gave to charges and did not get back."""
    used: Counter[str] = Counter()
    for entry in ledger.entries:
        charge, change = charge_in(entry.change), entry.change
        for share in () if charge is None else charge.packs:
            used[share.pack_id] += share.credit_amount
        for share in change.packs if isinstance(change, UsageReversed) else ():
            used[share.pack_id] -= share.credit_amount
    return used


@given(POLICIES, STEPS)
def test_of_a_pack_used_held_left_lapsed_and_taken_back_are_what_was_given(
    policy: Policy, steps: list[Step]
) -> None:
    ledger = ShardLedger(policy)
    now = live(ledger, [*BEGIN, *steps])
    ledger.write()
    used, account = shares_of_charges(ledger), ledger.account.as_of(now, policy.rollover_cap)
    open_holds: Counter[str] = Counter()
    for one in account.holds():
        open_holds.update({share.pack_id: share.credit_amount for share in one.packs})

    for name, first in given_packs(ledger).items():
        document = ledger.database.packs[name]
        taken_back = document.get("taken_back_credits", 0)
        known = account.find_pack(name)
        left_or_lapsed = document["spendable_credits"] - used[name] - open_holds[name]

        assert document["credits_used"] == used[name]
        assert document["spendable_credits"] + taken_back == first.spendable
        assert left_or_lapsed >= 0
        if known is not None:
            assert (known.used, known.held) == (used[name], open_holds[name])
            assert (known.left, known.taken_back) == (left_or_lapsed, taken_back)
        else:  # Nothing of it matters any more: all is used, or has lapsed.
            lapsed = first.expires_at is not None and first.expires_at <= now
            assert left_or_lapsed == 0 or lapsed


@given(POLICIES, STEPS)
def test_of_a_charge_no_more_goes_back_than_it_was_and_each_source_says_what(
    policy: Policy, steps: list[Step]
) -> None:
    ledger = ShardLedger(policy)
    live(ledger, [*BEGIN, *steps])
    ledger.write()
    back: Counter[str] = Counter()
    of_source: Counter[tuple[str, str]] = Counter()
    for entry in ledger.entries:
        change = entry.change
        if isinstance(change, UsageReversed):
            back[change.usage_id] += change.credit_amount
            assert change.reversed_credits == back[change.usage_id]
            assert 0 <= change.lapsed_credits <= change.credit_amount
            of_source[change.usage_id, "day"] += change.day_amount
            for share in change.packs:
                of_source[change.usage_id, share.pack_id] += share.credit_amount

    for usage_id, record in ledger.database.records.items():
        assert record.get("reversed_credits", 0) == back[usage_id] <= record["credit_amount"]
        sources: list[dict[str, Any]] = record["sources"]
        assert sum(source["credit_amount"] for source in sources) == record["credit_amount"]
        for source in sources:
            name = str(source.get("pack_id", "day"))
            assert source.get("reversed_credits", 0) == of_source[usage_id, name]


def expected_left(decision: Decision, left: int) -> int | None:
    """Return what is left after a decision, where it says so by itself."""
    match decision:
        case None | Refusal():
            return left
        case UsageReversed(returned_credits=amount) | CreditsAdjusted(credit_amount=amount):
            return left + amount
        case PackAdded(pack=pack):
            return left + pack.spendable
        case HoldPlaced(hold=hold):
            return left - hold.credit_amount
        case _:
            return None


class Watched(ShardLedger):
    """Sees that each decision changes what is left by what it says."""

    def decide(self, command: Any, key: str, known: Any, now: Any) -> Decision:
        before = self.status(now).remaining_credits
        decision = super().decide(command, key, known, now)
        expected, after = expected_left(decision, before), self.status(now).remaining_credits
        assert expected is None or after == expected, decision
        if decision is not None and not isinstance(decision, Refusal):
            self.check_charge(command, decision, before, after)
            self.check_answer(decision, now)
        return decision

    def check_answer(self, decision: Decision, now: Any) -> None:
        """Compare an answer with a status; a settlement speaks of its own day, maybe a past one."""
        if isinstance(decision, HoldSettled):
            return
        answer, status = json.loads(self.entries[-1].answer or "{}"), self.status(now)
        assert answer.get("remaining_credits") in {None, status.remaining_credits}
        is_there = status.remaining_credits or self.account.current(now)
        if is_there:  # Of the last of all packs, only the charge that uses it up says it is low.
            assert answer.get("low_credits") in {None, status.low_credits}

    def check_charge(self, command: Any, decision: Decision, before: int, after: int) -> None:
        if type(command).__name__ == "RecordUsage":
            charge = charge_of(decision)
            wanted = charge.credit_amount + charge.uncovered_credits
            assert after == before - charge.credit_amount
            rule = command.on_insufficient
            assert rule == "record" or charge.credit_amount <= max(before, 0)
            assert rule == "cap" or not charge.uncovered_credits
            assert command.credit_amount in {None, wanted}
        if isinstance(command, PlaceHold) and isinstance(decision, HoldPlaced):
            amount = decision.hold.credit_amount
            assert (command.at_least or 0) <= amount <= min(command.credit_amount, max(before, 0))


@given(POLICIES, STEPS)
def test_what_is_left_changes_by_what_was_decided(policy: Policy, steps: list[Step]) -> None:
    ledger = Watched(policy)

    live(ledger, [*BEGIN, *steps])


@given(POLICIES, STEPS)
def test_ram_journal_and_documents_mean_the_same_after_every_step(
    policy: Policy, steps: list[Step]
) -> None:
    ledger, now = ShardLedger(policy), NOON
    for step in [*BEGIN, *steps]:
        now = live(ledger, [step], now)
        loaded = ledger.load(now)

        assert loaded.quarantined == ()
        assert difference(ledger.account, loaded.account, now, policy) is None
        assert loaded.account.packs == ledger.account.packs
        assert ledger.account.extra is None or ledger.account.extra.packs
    for upto in range(ledger.database.applied_seq, len(ledger.entries) + 1):
        ledger.write(upto)
        loaded = ledger.load(now)
        assert essence(loaded.account, now, policy) == essence(ledger.account, now, policy)


def test_every_kind_of_step_is_taken() -> None:
    assert set(TAKERS) == {*KINDS, *KINDS_OF_SOURCES}

"""Accounts that RAM keeps packed: nothing of an account is lost, and a use unpacks it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from bson import Code
from hypothesis import given

from actors.protocol.calls import Outcome
from actors.shard import awake as awake_module
from actors.shard.awake import WHOLE_MAX, Awake
from actors.shard.packing import packed, unpacked
from domain.account import Account, Extra
from domain.charges import Charge
from domain.copies import replace
from domain.evolve import replay
from domain.sources import PackShare
from domain.values import CREDITS_MAX, Credits, Policy, UserId
from tests.builders.ledger import NOON, Ledger
from tests.builders.lives import POLICIES, STEPS, Step, live
from tests.builders.shard_ledger import ShardLedger
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import ask, charge_call, in_loop, running

USERS = [UserId(f"u-{number}") for number in range(5)]


def versions(ledger: Ledger) -> Iterator[Account]:
    """Yield the account as it was after each entry, from the journal alone."""
    for number in range(len(ledger.entries) + 1):
        yield replay(Account(ledger.account.user_id), ledger.entries[:number])


@given(POLICIES, STEPS)
def test_an_account_of_any_life_is_packed_without_a_loss(policy: Policy, steps: list[Step]) -> None:
    ledger = ShardLedger(policy)
    live(ledger, steps)

    for account in (ledger.account, *versions(ledger)):
        again = unpacked(packed(account))

        assert again == account
        assert repr(again) == repr(account)  # It names the classes, which equality passes over.


@pytest.mark.parametrize("amount", [CREDITS_MAX, -CREDITS_MAX, 2**63 - 1])
def test_amounts_instants_and_texts_are_packed_at_their_limits(amount: int) -> None:
    share = PackShare("pack", Credits(amount))
    charge = Charge(
        "usage", None, date.max, Credits(amount), (share,), Credits(0), "\U0001f4b3" * 64
    )
    account = Account(
        USERS[0], 2**62, past_transactions=frozenset({"", "b"}), extra=Extra((), (charge,))
    )

    assert unpacked(packed(account)) == account


@pytest.mark.parametrize(
    "instant", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_the_first_and_the_last_instant_are_packed(instant: datetime) -> None:
    ledger = Ledger()
    ledger.add(30, 5, NOON)
    (subscription,) = ledger.account.subscriptions
    changed = replace(subscription, start=instant)

    account = ledger.account.with_subscription(changed)

    assert unpacked(packed(account)) == account


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, Code("text"), Code("text", {"a": 1})])
def test_what_documents_of_other_programs_bring_in_is_packed(value: Any) -> None:
    share = PackShare(value, Credits(value))

    account = Account(USERS[0], extra=Extra((), (Charge("u", None, None, value, (share,), value),)))

    assert unpacked(packed(account)) == account
    assert repr(unpacked(packed(account))) == repr(account)


@in_loop
async def test_a_user_who_is_refused_again_and_again_is_unpacked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpackings: list[bytes] = []

    def counted(told: bytes) -> Account:
        unpackings.append(told)
        return unpacked(told)

    async with running(MemoryStore(), accounts_max=6) as shard:
        for user in USERS:
            await ask(shard, charge_call(user, 1, "first"))
        monkeypatch.setattr(awake_module, "unpacked", counted)
        for number in range(5):
            refused = charge_call(USERS[0], 2**40, f"too much {number}", keep_refusal=False)
            (told,) = await ask(shard, refused)
            assert told.outcome is Outcome.REFUSED

    assert len(unpackings) == 1


@pytest.fixture
def awake() -> Awake:
    """Return five accounts of which the two that were used last are whole."""
    awake = Awake(len(USERS))
    for number, user in enumerate(USERS):
        awake.put(Account(user, number))
    return awake


def test_all_accounts_are_there_in_the_order_of_their_last_use(awake: Awake) -> None:
    awake.put(Account(USERS[1], 7))
    awake.use(USERS[4])

    assert [awake[user].seq for user in awake] == [0, 2, 3, 7, 4]
    assert len(awake) == 5


def test_looking_at_a_packed_account_is_no_use_and_using_it_unpacks_it(awake: Awake) -> None:
    seen = awake[USERS[0]], awake[USERS[0]]
    before = list(awake)
    used = awake.use(USERS[0])

    assert seen[0] == seen[1] == used == Account(USERS[0], 0)
    assert seen[0] is not seen[1]
    assert awake[USERS[0]] is used
    assert before == USERS
    assert list(awake) == [*USERS[1:], USERS[0]]
    assert awake.use(UserId("nobody")) is None


def test_so_many_are_whole_at_most() -> None:
    awake = Awake(10 * WHOLE_MAX)
    for number in range(WHOLE_MAX + 1):
        awake.put(Account(UserId(f"u-{number}")))

    first, second = UserId("u-0"), UserId("u-1")

    assert awake[first] is not awake[first]
    assert awake[second] is awake[second]


def test_what_is_dropped_is_gone_packed_or_whole(awake: Awake) -> None:
    dropped = [awake.drop(user) for user in (USERS[0], USERS[4], USERS[0])]

    assert dropped == [True, True, False]
    assert list(awake) == USERS[1:4]
    assert awake.get(USERS[0]) is None
    assert USERS[4] not in awake

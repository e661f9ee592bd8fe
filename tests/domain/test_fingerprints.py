"""A repeat is known by what it says, whichever version of the service wrote the first answer."""

from collections.abc import Callable
from dataclasses import make_dataclass, replace
from datetime import timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.protocol.calls import Call, Outcome
from actors.shard.draft import Draft
from actors.shard.idempotency import answers_of
from domain.charges import OnInsufficient
from domain.corrections import AdjustCredits, ReverseUsage
from domain.fingerprints import canonical, fingerprint, is_fingerprint_of
from domain.holds import ExpireHold, PlaceHold, ReleaseHold, SettleHold
from domain.messages import (
    AddCredit,
    ChangeSubscription,
    Command,
    Entry,
    ExpireSubscription,
    GrantFromStripe,
    OpenDay,
    RecordUsage,
    Rejection,
)
from domain.pack_messages import AddPack, ExpirePack
from domain.packs import Category
from domain.payments import Payment
from domain.stripe import ApplyStripeState, StripeItem, StripeLink, VoidGrants
from domain.usage_facts import Tokens
from domain.values import CREDITS_MAX, Credits, Status, UserId
from tests.builders.ledger import NOON, ONE_DAY, USER, charge_of, ledger_with, pay

TEXT = st.text(max_size=20)
AMOUNTS = st.integers(-CREDITS_MAX, CREDITS_MAX).map(Credits)
ITEM = StripeItem("price", 2)
LINK = StripeLink("sub", "cus", "active", NOON, NOON + ONE_DAY, None, None, (ITEM,), 3)
BARE = StripeLink("sub", None, "new", None, None, None, None, (), 1)
ONE = Credits(1)
HALF_PAST = NOON + timedelta(milliseconds=500)
ODD = UserId('o\'Neill\u2019s "é"')
ALL_TOLD: dict[str, Any] = {
    "token_count": 7,
    "model_used": "m",
    "session_id": "s",
    "details": '{"a": "é"}',
    "timestamp": HALF_PAST,
    "on_insufficient": OnInsufficient.RECORD,
}

# What a stored entry says, for good: (command, canonical form's digest, digest of before it).
GOLDEN: list[tuple[Command, str, str]] = [
    (OpenDay(USER), "2df618edbca2dd4591cc23f414cfa134", "a6bf2e7df176e67029ba9891f23a8c47"),
    (OpenDay(ODD), "df76a2f144baa7ca14bec1dc9f14f3df", "741654cae510dfd6782fc2800ae28d0b"),
    (
        AddCredit(USER, ONE, 2, pay("t")),
        "9ac676964b51dc9c70e7327bb8fe537a",
        "e517986d8d2684966a99ca29be86b085",
    ),
    (
        AddCredit(USER, ONE, 2, Payment("card", "t 1", CREDITS_MAX, "eur"), "Asia/Kolkata"),
        "b669d1578397477c0bb6d7c4eaafd43d",
        "5d5963b9bfc4c05cfc8710acab7fab74",
    ),
    (
        GrantFromStripe(USER, ONE, NOON, NOON + ONE_DAY, pay("t"), "sub"),
        "5060ec30bfc7fd76e7732a1683c5b8e3",
        "1c0c46fc6217bbc52b37320adef2146d",
    ),
    (
        RecordUsage(USER, "chat", Credits(5)),
        "f70a35e47e9d6e8a4ff1b39f1d337856",
        "2f3dcacd471cef07d404e3d9c5350dd2",
    ),
    (
        RecordUsage(USER, "chat", Credits(0)),
        "860192dfc9629aeaf66d92ada883db8a",
        "e1b73db634a68c9b95f55dac875d1ed2",
    ),
    (
        RecordUsage(USER, "chat", None, token_count=900),
        "d6671d52fa57340b4f63086aa268a38c",
        "b3e7454615565ee3ae8dee245dca9648",
    ),
    (
        RecordUsage(ODD, "chat", Credits(5), **ALL_TOLD),
        "123d20ac43eb172706085c71c283884d",
        "3b63467fb58184c39b5adfe3aeaaae25",
    ),
    (
        ChangeSubscription(USER, "s", Status.PAUSED),
        "1de55b5b836d6b6ec8e2b091ccd3cd9d",
        "d016291787561797847d63e45f139e4b",
    ),
    (
        ChangeSubscription(USER, "s", None, HALF_PAST),
        "1671c19899c7de9fdc8de75cd03a02ff",
        "59346b1a7620efcab8752ab58f853b16",
    ),
    (
        ExpireSubscription(USER, "s"),
        "6ede781b7ca10b9b5bc4db12f9ca4e0c",
        "6260ecd61ad1a8bb1734db61effa6bc2",
    ),
    (
        ApplyStripeState(USER, LINK),
        "845046db2083764f1ab72fbc961edb9f",
        "832fca080f33a78d74cbfe918ac859bb",
    ),
    (
        ApplyStripeState(USER, BARE),
        "9a865a8d2b3276572f84abffb1ba436e",
        "a61d5a2bd3bad62d0334a88a88b6dda2",
    ),
    (
        ApplyStripeState(USER, replace(LINK, items=(ITEM, ITEM), extends_to=HALF_PAST)),
        "224912ee22cfb0789c8d701f45a8cba5",
        "f3971cc16ead83ea1b0eff20dd445ea1",
    ),
    (
        VoidGrants(USER, "t", 1, 3),
        "c22f1275441f9f48f27a5de0ec61ab44",
        "f2667ef4d97436e85414be015d8b4bf2",
    ),
    (
        VoidGrants(USER, "t", 1, 3, 7),
        "857943e58205125389097c42ddcc575b",
        "a0cb10acce633d19fea8b542541960d8",
    ),
    (
        PlaceHold(USER, "chat", ONE),
        "20c4910c307a279eaac60f28f50a9d2b",
        "52e2686726d1938996ab93c04370f8f9",
    ),
    (
        PlaceHold(USER, "chat", ONE, 60, **ALL_TOLD),
        "6330183e513aae25dae9dfb065b502e8",
        "fc3aed91b4ed6f6fca8a6ce1c7e60479",
    ),
    (
        SettleHold(USER, "h", ONE),
        "c9b619ac246f308f697fd4058344f9e0",
        "6baea2526e71022e02aa7c88f69604cc",
    ),
    (
        SettleHold(
            *(USER, "h", None, OnInsufficient.RECORD),
            token_count=7,
            model_used="m",
            details='{"a": "é"}',
        ),
        "b298fd684277eb5db4c6a9ab59304e81",
        "1a676ce2fc378939adae09829df76156",
    ),
    (
        ReleaseHold(USER, "h"),
        "60c25223b2b95d747dc7dddf2061c336",
        "56a8ac930571bf165ab32f62d53b9172",
    ),
    (ExpireHold(USER, "h"), "ced73391ea55807e2c727d6cc80f863e", "1d355d7985d9eddae9852d5465fd130d"),
    (
        ExpireHold(USER, "h", "s"),
        "b4e603e2514adc0b58ea37d7c2f23b0b",
        "5834d0941052ffaec28d32e2377601b0",
    ),
]


# Of commands and fields that no version before the canonical form knew.
GOLDEN_SINCE: list[tuple[Command, str]] = [
    (AddCredit(USER, ONE, 3, pay("cs_1"), paid_to_stripe=True), "fc9ddf7f4bdefa4f71377e69fc0f438c"),
    (AddPack(USER, ONE, pay("t")), "af68706317309472f9f43ea8def608f1"),
    (
        AddPack(USER, ONE, pay("t"), HALF_PAST, 10, Category.PROMOTIONAL, paid_to_stripe=True),
        "d5fd510481c54cca89a2ab8f07debd95",
    ),
    (ExpirePack(USER, "p"), "0d165a1d42dad56c7f9fd07394996846"),
    (ReverseUsage(USER, "u", None, "r"), "2056b5f32d04f52c772c187ce69965a7"),
    (ReverseUsage(USER, "u", ONE, "é"), "f152304030607bb0cbd4197f4fc50998"),
    (AdjustCredits(USER, Credits(-1), None, "r"), "d5a9bcf7d85c78a82177f5b5686341f4"),
    (
        AdjustCredits(USER, None, Credits(0), "r", HALF_PAST, allow_debt=True),
        "a6e87f2f119b3e7c41a6dc31d16ebb9d",
    ),
    (
        PlaceHold(USER, "chat", ONE, at_least=Credits(0)),
        "9d0fff13a6b789102ae0ec21ed48bd6d",
    ),
    (
        RecordUsage(USER, "chat", ONE, on_insufficient=OnInsufficient.CAP),
        "064a20617638f0f37179e6765545c631",
    ),
    (
        RecordUsage(USER, "chat", None, token_count=7, tokens=Tokens(input=5, reasoning=2)),
        "a8ebbcc2c03ef2dec8323a354473ff43",
    ),
    (
        SettleHold(USER, "h", None, token_count=0, tokens=Tokens()),
        "3bdb0fa2130e8ea429700baf77429663",
    ),
]
GOLDEN += [(command, digest, digest) for command, digest in GOLDEN_SINCE]


def before_of(command: Command) -> str:
    """Return what the golden table says that older entries hold."""
    return next(before for known, _, before in GOLDEN if known == command)


def digests(commands: list[Command]) -> list[str]:
    return [fingerprint(command) for command in commands]


def test_every_command_has_its_golden_digest() -> None:
    assert {type(command) for command, *_ in GOLDEN} == set(get_args(Command))
    assert digests([c for c, *_ in GOLDEN]) == [digest for _, digest, _ in GOLDEN]


@pytest.mark.parametrize(("command", "digest", "before"), GOLDEN, ids=lambda value: str(value)[:20])
def test_an_entry_of_either_form_is_the_commands_and_no_others(
    command: Command, digest: str, before: str
) -> None:
    others = [other for other, *_ in GOLDEN if other != command]

    assert is_fingerprint_of(digest, command, digest)
    assert is_fingerprint_of(before, command, digest)
    assert not any(is_fingerprint_of(before, other, fingerprint(other)) for other in others)


def test_a_settlement_that_names_the_rule_of_before_is_the_one_that_was_told_none() -> None:
    told = SettleHold(USER, "h", ONE, on_insufficient=OnInsufficient.REJECT)
    forms = [SettleHold(USER, "h", ONE), told]

    for _, digest, before in [row for row in GOLDEN if row[0] in forms]:
        assert all(is_fingerprint_of(digest, form, fingerprint(form)) for form in forms)
        assert all(is_fingerprint_of(before, form, fingerprint(form)) for form in forms)
    assert fingerprint(told) == "3b6e685d32e761a0b9a1c8acba48880f"


@pytest.mark.parametrize("form", [fingerprint, before_of])
def test_a_sale_of_stripes_is_the_one_that_did_not_say_so_before(
    form: Callable[[Command], str],
) -> None:
    unsaid = AddCredit(USER, ONE, 2, pay("t"))
    said = replace(unsaid, paid_to_stripe=True)
    other = replace(said, days=4)

    assert is_fingerprint_of(form(unsaid), said, fingerprint(said))
    assert not is_fingerprint_of(form(unsaid), other, fingerprint(other))
    assert not is_fingerprint_of(fingerprint(said), unsaid, fingerprint(unsaid))


def test_what_is_not_told_is_not_part_of_the_form() -> None:
    plain = RecordUsage(USER, "chat", Credits(5))

    assert canonical(plain) == (
        '["RecordUsage",{"credit_amount":5,"service_type":"chat","user_id":"ada"}]'
    )
    assert canonical(ApplyStripeState(USER, BARE)) == (
        '["ApplyStripeState",{"link":{"items":[],"status":"new","subscription_id":"sub",'
        '"version":1},"user_id":"ada"}]'
    )


def test_an_instant_is_the_same_in_every_time_zone() -> None:
    abroad = HALF_PAST.astimezone(timezone(timedelta(hours=13)))
    here, there = (RecordUsage(USER, "chat", ONE, timestamp=at) for at in (HALF_PAST, abroad))

    assert fingerprint(here) == fingerprint(there)


# What a later version may make of a command: one more field, which need not be told.
LaterUsage: Any = make_dataclass(
    "RecordUsage", [("member_id", str | None, None)], bases=(RecordUsage,), frozen=True
)


@pytest.mark.parametrize("form", [fingerprint, before_of])
def test_a_repeat_after_an_upgrade_that_added_a_field_gets_its_first_answer(
    form: Callable[[Command], str],
) -> None:
    ledger = ledger_with(90, 30)
    key, first = "the key", RecordUsage(USER, "chat", Credits(5))
    change, seq = charge_of(ledger.charge(5, NOON)), ledger.account.seq
    stored = Entry(USER, seq, NOON, key, form(first), change, '{"first": true}')
    draft = Draft({USER: ledger.account}, answers_of([stored]), NOON + ONE_DAY, ledger.policy)

    again = draft.decide(Call(LaterUsage(USER, "chat", Credits(5)), key, keep_refusal=True))
    other = draft.decide(
        Call(LaterUsage(USER, "chat", Credits(5), member_id="m"), key, keep_refusal=True)
    )

    assert (again.outcome, again.body, again.replayed) == (Outcome.DONE, b'{"first": true}', True)
    assert other.refusal is not None
    assert other.refusal.reason is Rejection.KEY_REUSED
    assert draft.entries == []


def test_the_same_command_has_the_same_fingerprint_and_each_other_one_another() -> None:
    bob = UserId("bob")
    commands: list[Command] = [
        OpenDay(USER),
        OpenDay(bob),
        AddCredit(USER, Credits(1), 2, pay("t")),
        AddCredit(bob, Credits(1), 2, pay("t")),
        AddCredit(USER, Credits(2), 1, pay("t")),
        AddCredit(USER, Credits(1), 2, pay("u")),
        AddCredit(USER, Credits(1), 2, pay("t"), "UTC"),
        RecordUsage(USER, "chat", Credits(1)),
        RecordUsage(USER, "image", Credits(1)),
        RecordUsage(USER, "chat", Credits(2)),
        RecordUsage(USER, "chat", Credits(1), token_count=0),
        RecordUsage(USER, "chat", Credits(1), model_used="a"),
        RecordUsage(USER, "chat", Credits(1), session_id="a"),
        RecordUsage(USER, "chat", Credits(1), details="null"),
        RecordUsage(USER, "chat", Credits(1), details="{}"),
        RecordUsage(USER, "chat", Credits(1), timestamp=NOON),
        RecordUsage(USER, "chat", Credits(1), on_insufficient=OnInsufficient.RECORD),
        ChangeSubscription(USER, "s", Status.PAUSED),
        ChangeSubscription(USER, "r", Status.PAUSED),
        ChangeSubscription(USER, "s", None, NOON),
        ChangeSubscription(USER, "s", Status.PAUSED, NOON),
        ExpireSubscription(USER, "s"),
        PlaceHold(USER, "chat", Credits(1)),
        PlaceHold(USER, "chat", Credits(1), 301),
        SettleHold(USER, "h", Credits(1)),
        SettleHold(USER, "h", Credits(2)),
        SettleHold(USER, "g", Credits(1)),
        SettleHold(USER, "h", Credits(1), on_insufficient=OnInsufficient.RECORD),
        ReleaseHold(USER, "h"),
        ReleaseHold(USER, "g"),
        ExpireHold(USER, "h"),
        ExpireHold(USER, "h", "s"),
    ]

    assert len({fingerprint(command) for command in commands}) == len(commands)
    again = AddCredit(USER, Credits(1), 2, pay("t"))
    assert fingerprint(again) == fingerprint(commands[2])


@given(
    st.builds(
        *(RecordUsage, TEXT.map(UserId), TEXT, AMOUNTS),
        token_count=AMOUNTS | st.none(),
        model_used=TEXT,
        session_id=TEXT,
        details=TEXT,
    )
)
def test_a_fingerprint_is_of_everything_a_command_says(command: RecordUsage) -> None:
    other = RecordUsage(USER, "chat", Credits(1))

    assert (fingerprint(command) == fingerprint(other)) is (command == other)

"""What a client may send, and everything that is refused before it is decided."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.api.credit_requests import (
    CURRENCY_LENGTH_MAX,
    GRANT_DAYS_MAX,
    METHOD_LENGTH_MAX,
    AddCreditBody,
)
from domain.api.requests import (
    BATCH_RECORDS_MAX,
    KEY_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    BatchedUsageBody,
    IdempotencyKey,
    RecordUsageBody,
    RecordUsagesBody,
)
from domain.charges import OnInsufficient
from domain.fingerprints import fingerprint
from domain.messages import AddCredit, RecordUsage
from domain.payments import Payment
from domain.values import CREDITS_MAX, Credits, UserId
from tests.builders.ledger import utc

PAYMENT = {"method": "card", "transaction_id": "t", "amount": 999, "currency": "EUR"}
ADDITION = {"user_id": "ada", "amount": 1000, "days": 30, "payment": PAYMENT}
USAGE = {"user_id": "ada", "service_type": "chat", "credit_amount": 5}
HEX = "65A1B2C3D4E5F60718293A4B"
KEY: TypeAdapter[str] = TypeAdapter(IdempotencyKey)


def addition(**changes: object) -> AddCreditBody:
    return AddCreditBody.model_validate(ADDITION | changes)


def payment(**changes: object) -> AddCreditBody:
    return addition(payment=PAYMENT | changes)


def usage(**changes: object) -> RecordUsageBody:
    return RecordUsageBody.model_validate(USAGE | changes)


def refused_field(error: pytest.ExceptionInfo[ValidationError]) -> str:
    return str(error.value.errors()[0]["loc"][-1])


NO_AMOUNTS: list[Any] = [
    pytest.param(-1, id="negative"),
    pytest.param(CREDITS_MAX + 1, id="2^53"),
    pytest.param(2**64, id="2^64"),
    pytest.param(1.5, id="fraction"),
    pytest.param(1.0, id="whole double"),
    pytest.param(True, id="bool"),
    pytest.param("5", id="string"),
    pytest.param(float("nan"), id="not a number"),
    pytest.param(float("inf"), id="infinite"),
    pytest.param([5], id="list"),
]
NO_TEXTS: list[Any] = [
    pytest.param("", id="empty"),
    pytest.param("x" * (TEXT_LENGTH_MAX + 1), id="too long"),
    pytest.param("a\0", id="NUL"),
    pytest.param("a\n", id="line feed"),
    pytest.param("a\ud800", id="lone surrogate"),
    pytest.param(5, id="number"),
    pytest.param(True, id="bool"),
    pytest.param(["a"], id="list"),
]


@pytest.mark.parametrize("amount", [0, 1, CREDITS_MAX])
def test_an_amount_is_a_whole_number_from_nothing_to_the_largest(amount: int) -> None:
    assert addition(amount=amount).amount == amount
    assert payment(amount=amount).payment.amount == amount
    assert usage(credit_amount=amount).credit_amount == amount
    assert usage(token_count=amount).token_count == amount


@pytest.mark.parametrize("amount", [*NO_AMOUNTS, pytest.param(None, id="null")])
def test_what_is_no_amount_is_refused(amount: object) -> None:
    with pytest.raises(ValidationError) as added:
        addition(amount=amount)
    with pytest.raises(ValidationError) as paid:
        payment(amount=amount)
    with pytest.raises(ValidationError) as charged:
        usage(credit_amount=amount)

    assert refused_field(added) == refused_field(paid) == "amount"
    assert refused_field(charged) == "credit_amount"


@pytest.mark.parametrize("count", NO_AMOUNTS)
def test_what_is_no_token_count_is_refused(count: object) -> None:
    with pytest.raises(ValidationError) as error:
        usage(token_count=count)

    assert refused_field(error) == "token_count"


@pytest.mark.parametrize("text", ["1e3", "1.0", "5.5", "9007199254740992", '"5"', "true", "null"])
def test_an_amount_in_json_is_an_integer_too(text: str) -> None:
    body = f'{{"user_id": "ada", "service_type": "chat", "credit_amount": {text}}}'

    with pytest.raises(ValidationError):
        RecordUsageBody.model_validate_json(body)


@pytest.mark.parametrize("days", [1, GRANT_DAYS_MAX])
def test_a_grant_lasts_from_one_day_to_ten_years(days: int) -> None:
    assert addition(days=days).days == days


@pytest.mark.parametrize("days", [0, -1, GRANT_DAYS_MAX + 1, 1.0, True, "30", None])
def test_a_grant_of_another_length_is_refused(days: object) -> None:
    with pytest.raises(ValidationError) as error:
        addition(days=days)

    assert refused_field(error) == "days"


@pytest.mark.parametrize("user_id", ["a", "x" * 128, "ada@example.org", "Ωmega", "😀"])
def test_a_user_id_is_kept_as_it_is(user_id: str) -> None:
    assert usage(user_id=user_id).user_id == addition(user_id=user_id).user_id == user_id


def test_a_user_id_of_24_hex_digits_is_read_in_lower_case() -> None:
    assert usage(user_id=HEX).user_id == HEX.lower()
    assert addition(user_id=HEX).command().user_id == HEX.lower()


@pytest.mark.parametrize(
    "user_id",
    ["", "x" * 129, "a b", " ada", "ada ", "a\tb", "ada\n", "a\0", "a\ud800", "a\u2028", 5, None],
)
def test_a_user_id_that_cannot_be_printed_is_refused(user_id: object) -> None:
    with pytest.raises(ValidationError) as charged:
        usage(user_id=user_id)
    with pytest.raises(ValidationError) as added:
        addition(user_id=user_id)

    assert refused_field(charged) == refused_field(added) == "user_id"


@pytest.mark.parametrize("field", ["service_type", "model_used", "session_id"])
@pytest.mark.parametrize("text", NO_TEXTS)
def test_what_is_no_text_is_refused(field: str, text: object) -> None:
    with pytest.raises(ValidationError) as error:
        usage(**{field: text})

    assert refused_field(error) == field


@pytest.mark.parametrize("field", ["method", "transaction_id", "currency"])
@pytest.mark.parametrize("text", NO_TEXTS)
def test_a_payment_says_in_text_how_and_by_what(field: str, text: object) -> None:
    with pytest.raises(ValidationError) as error:
        payment(**{field: text})

    assert refused_field(error) == field


@pytest.mark.parametrize("text", ["x", "x" * TEXT_LENGTH_MAX, "gpt 4 Ω 😀"])
def test_a_text_is_kept_as_it_is(text: str) -> None:
    assert usage(service_type=text, session_id=text).session_id == text


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", None])
def test_a_zone_is_an_iana_name(zone: str | None) -> None:
    assert addition(timezone=zone).timezone == zone


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Mars/Olympus",
        "../../etc/passwd",
        "a\0b",
        "\ud800",
        1,
        "localtime",
        "right/UTC",
        "Factory",
    ],
)
def test_another_zone_is_refused(zone: object) -> None:
    with pytest.raises(ValidationError) as error:
        addition(timezone=zone)

    assert refused_field(error) == "timezone"


@pytest.mark.parametrize("manner", ["Reject", "ignore", "", None, True])
def test_a_charge_is_rejected_or_recorded_and_nothing_else(manner: object) -> None:
    with pytest.raises(ValidationError) as error:
        usage(on_insufficient=manner)

    assert refused_field(error) == "on_insufficient"


@pytest.mark.parametrize("key", ["k", "a key!~", " ", "x" * KEY_LENGTH_MAX])
def test_a_key_is_printable_ascii(key: str) -> None:
    assert KEY.validate_python(key) == key
    assert BatchedUsageBody.model_validate(USAGE | {"idempotency_key": key}).idempotency_key == key


@pytest.mark.parametrize(
    "key", ["", "x" * (KEY_LENGTH_MAX + 1), "ké", "a\n", "a\0", "a\x7f", "\ta", "\ud800", 5, None]
)
def test_another_key_is_refused(key: object) -> None:
    with pytest.raises(ValidationError):
        KEY.validate_python(key)


def test_unknown_fields_are_refused_wherever_they_are() -> None:
    with pytest.raises(ValidationError) as added:
        addition(amont=5)
    with pytest.raises(ValidationError) as paid:
        payment(id="t")
    with pytest.raises(ValidationError) as keyed:
        usage(idempotency_key="only in a batch")
    with pytest.raises(ValidationError) as batched:
        RecordUsagesBody.model_validate({"records": [USAGE], "atomic": True})

    assert [refused_field(error) for error in (added, paid, keyed, batched)] == [
        "amont",
        "id",
        "idempotency_key",
        "atomic",
    ]


@pytest.mark.parametrize("count", [1, BATCH_RECORDS_MAX])
def test_a_batch_holds_records_unread_so_that_each_is_checked_on_its_own(count: int) -> None:
    assert len(RecordUsagesBody.model_validate({"records": [None] * count}).records) == count


@pytest.mark.parametrize("records", [[], [None] * (BATCH_RECORDS_MAX + 1), {}, None])
def test_a_batch_of_another_size_is_refused(records: object) -> None:
    with pytest.raises(ValidationError) as error:
        RecordUsagesBody.model_validate({"records": records})

    assert refused_field(error) == "records"


def test_an_addition_means_its_command() -> None:
    paid = Payment("card", "t", 999, "EUR")
    expected = AddCredit(UserId("ada"), Credits(1000), 30, paid, "Pacific/Auckland")

    assert addition(timezone="Pacific/Auckland").command() == expected


def test_a_usage_means_its_command() -> None:
    said = {"token_count": 7, "model_used": "m", "session_id": "s", "on_insufficient": "record"}
    command = usage(**said, details={"b": 1, "a": "é"}, timestamp="2026-03-02T12:00:00Z").command()

    assert usage().command() == RecordUsage(UserId("ada"), "chat", Credits(5))
    assert command == RecordUsage(
        UserId("ada"),
        "chat",
        Credits(5),
        utc("2026-03-02T12:00"),
        OnInsufficient.RECORD,
        token_count=7,
        model_used="m",
        session_id="s",
        details='{"a": "é", "b": 1}',
    )


def test_the_order_of_details_makes_no_other_command() -> None:
    one, other = usage(details={"a": 1, "b": 2}), usage(details={"b": 2, "a": 1})

    assert fingerprint(one.command()) == fingerprint(other.command())


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("method", METHOD_LENGTH_MAX),
        ("currency", CURRENCY_LENGTH_MAX),
        ("transaction_id", TEXT_LENGTH_MAX),
    ],
)
def test_what_a_payment_says_fits_into_the_document_of_many(field: str, longest: int) -> None:
    kept = payment(**{field: "x" * longest})
    with pytest.raises(ValidationError) as refused:
        payment(**{field: "x" * (longest + 1)})

    assert getattr(kept.payment, field) == "x" * longest
    assert refused_field(refused) == field
    described = AddCreditBody.model_json_schema()["$defs"]["PaymentBody"]["properties"][field]
    assert described["maxLength"] == longest

"""What a client may send: bodies of requests, checked field by field, and the commands they mean."""

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from domain.local_days import zone
from domain.messages import AddCredit, ChangeSubscription, OnInsufficient, Payment, RecordUsage
from domain.values import (
    CREDITS_MAX,
    USER_ID_LENGTH_MAX,
    Credits,
    Status,
    UserId,
    parse_user_id,
    to_instant,
)

GRANT_DAYS_MAX = 3660  # Ten years: longer grants are typing errors.
TEXT_LENGTH_MAX = 256
KEY_LENGTH_MAX = 255
DETAILS_BYTES_MAX = 16 * 1024
DETAILS_DEPTH_MAX = 32
BATCH_RECORDS_MAX = 1000
INT64_MAX = 2**63 - 1
TIMESTAMP_MIN = datetime(1970, 1, 1, tzinfo=UTC)
TIMESTAMP_MAX = datetime(2200, 1, 1, tzinfo=UTC)


def _storable_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters and lone surrogates are not allowed")
    return text


def _known_zone(name: str) -> str:
    zone(name)
    return name


def _timestamp(value: object) -> object:
    # The dash after the year tells a date from seconds, which pydantic would read as a time too.
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise ValueError("a timestamp is ISO 8601 text with a time zone")


def _plausible(moment: datetime) -> datetime:
    if not TIMESTAMP_MIN <= moment < TIMESTAMP_MAX:
        raise ValueError("a timestamp lies between the years 1970 and 2200")
    return to_instant(moment)


def storable_details(details: dict[str, Any]) -> dict[str, Any]:
    """Return details that MongoDB can keep and JSON can say. Raises ValueError."""
    _check_json(details, DETAILS_DEPTH_MAX)
    if len(json.dumps(details, ensure_ascii=False).encode()) > DETAILS_BYTES_MAX:
        raise ValueError(f"details have at most {DETAILS_BYTES_MAX} bytes as JSON")
    return details


def _check_json(value: object, depth_left: int) -> None:
    """Refuse what MongoDB cannot keep or JSON cannot say. Raises ValueError."""
    if depth_left == 0 and isinstance(value, dict | list):
        raise ValueError(f"details are nested at most {DETAILS_DEPTH_MAX} deep")
    match value:
        case dict():
            for key, child in value.items():
                _check_scalar(key)
                _check_json(child, depth_left - 1)
        case list():
            for child in value:
                _check_json(child, depth_left - 1)
        case _:
            _check_scalar(value)


def _check_scalar(value: object) -> None:
    match value:
        case str() if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("details hold no NUL characters and no lone surrogates")
        case int() if not -INT64_MAX <= value <= INT64_MAX:
            raise ValueError("whole numbers in details have at most 64 bits")
        case float() if not math.isfinite(value):
            raise ValueError("numbers in details are finite")
        case str() | int() | float() | None:
            pass
        case _:
            raise ValueError("details are a JSON object")


CreditAmount = Annotated[int, Field(strict=True, ge=0, le=CREDITS_MAX)]
UserIdText = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=USER_ID_LENGTH_MAX),
    AfterValidator(parse_user_id),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": USER_ID_LENGTH_MAX,
            "pattern": r"^[^\u0000-\u0020\u007f-\u00a0]+$",
        }
    ),
]
Text = Annotated[
    str,
    Field(strict=True),
    StringConstraints(min_length=1, max_length=TEXT_LENGTH_MAX),
    AfterValidator(_storable_text),
]
Timestamp = Annotated[
    AwareDatetime,
    BeforeValidator(_timestamp),
    AfterValidator(_plausible),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^(19[7-9][0-9]|2[01][0-9]{2})-",
        }
    ),
]
IdempotencyKey = Annotated[
    str,
    Field(strict=True, pattern=r"^[\x20-\x7e]+$", min_length=1, max_length=KEY_LENGTH_MAX),
]


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PaymentBody(Body):
    """What was paid. `amount` is in the currency's minor unit (cents)."""

    method: Text
    transaction_id: Text
    amount: CreditAmount
    currency: Text


class AddCreditBody(Body):
    """Credits to add over `days` days from today."""

    user_id: UserIdText
    amount: CreditAmount
    days: Annotated[int, Field(strict=True, ge=1, le=GRANT_DAYS_MAX)]
    payment: PaymentBody
    timezone: Annotated[Text, AfterValidator(_known_zone)] | None = None

    def command(self) -> AddCredit:
        paid = self.payment
        return AddCredit(
            UserId(self.user_id),
            Credits(self.amount),
            self.days,
            Payment(paid.method, paid.transaction_id, paid.amount, paid.currency),
            self.timezone,
        )


class RecordUsageBody(Body):
    """Credits to charge to today."""

    user_id: UserIdText
    service_type: Text
    credit_amount: CreditAmount
    token_count: CreditAmount | None = None
    model_used: Text | None = None
    session_id: Text | None = None
    details: Annotated[dict[str, Any], AfterValidator(storable_details)] | None = None
    timestamp: Timestamp | None = None
    on_insufficient: OnInsufficient = OnInsufficient.REJECT

    def command(self) -> RecordUsage:
        details = None
        if self.details is not None:  # Sorted: the order of fields makes no other command.
            details = json.dumps(self.details, ensure_ascii=False, sort_keys=True)
        return RecordUsage(
            UserId(self.user_id),
            self.service_type,
            Credits(self.credit_amount),
            self.token_count,
            self.model_used,
            self.session_id,
            details,
            self.timestamp,
            self.on_insufficient,
        )


class BatchedUsageBody(RecordUsageBody):
    """One record of a batch. Its key stands for it alone."""

    idempotency_key: IdempotencyKey | None = None


class RecordUsagesBody(Body):
    """Up to 1000 charges. Each is checked and decided on its own."""

    records: Annotated[
        list[Any],
        Field(min_length=1, max_length=BATCH_RECORDS_MAX),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/BatchedUsageBody"},
                "minItems": 1,
                "maxItems": BATCH_RECORDS_MAX,
            }
        ),
    ]


class ChangeSubscriptionBody(Body):
    """What an operator gives a subscription: another status, another end, or both."""

    status: Literal["active", "past_due", "paused", "cancelled", "expired"] | None = None
    end_date: Timestamp | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.status is None and self.end_date is None:
            raise ValueError("status or end_date is needed")
        return self

    def command(self, user_id: UserId, subscription_id: str) -> ChangeSubscription:
        status = None if self.status is None else Status(self.status)
        return ChangeSubscription(user_id, subscription_id, status, self.end_date)


class SyncBody(Body):
    """Whose account to read anew; nobody's: every account in RAM."""

    user_id: UserIdText | None = None


class TestClockBody(Body):
    """What time it shall be for the whole service: later than it is."""

    __test__ = False  # It tests nothing itself.

    now: Timestamp


class ValidateBody(Body):
    """Whether what differs from MongoDB is to be read anew."""

    repair: Annotated[bool, Field(strict=True)] = True

"""What a client may send: bodies of requests, checked field by field, and the commands they mean."""

import json
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
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from domain.api.details import Details
from domain.api.fields import USER_ID, shown
from domain.charges import OnInsufficient
from domain.local_days import check_zone
from domain.messages import ChangeSubscription, RecordUsage
from domain.usage_facts import FACTS
from domain.values import (
    CREDITS_MAX,
    USER_ID_LENGTH_MAX,
    Credits,
    Status,
    UserId,
    parse_user_id,
    to_instant,
)

TEXT_LENGTH_MAX = 256
KEY_LENGTH_MAX = 255
COMMAS_MAX = 20_000  # No valid charge has as many: details of 16 KiB, some short fields.
FIELDS_MAX = 50  # Of one object but details, known or not.
BATCH_RECORDS_MAX = 1000
TIMESTAMP_MIN = datetime(1970, 1, 1, tzinfo=UTC)
TIMESTAMP_MAX = datetime(2200, 1, 1, tzinfo=UTC)


def _storable_text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters and lone surrogates are not allowed")
    return text


def _timestamp(value: object) -> object:
    # The dash after the year tells a date from seconds, which pydantic would read as a time too.
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise ValueError("a timestamp is ISO 8601 text with a time zone")


def _plausible(moment: datetime) -> datetime:
    if not TIMESTAMP_MIN <= moment < TIMESTAMP_MAX:
        raise ValueError("a timestamp lies between the years 1970 and 2200")
    return to_instant(moment)


def _few_fields(body: object) -> object:
    # Naming each of 70,000 unknown fields would keep a process busy for half a second.
    if isinstance(body, dict) and len(body) > FIELDS_MAX:
        raise ValueError(f"a body has at most {FIELDS_MAX} fields")
    return body


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
            "examples": [USER_ID],
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


class ParsedBody(Body):
    """A body that was parsed before it is checked: counting its fields costs nothing."""

    _count_fields = model_validator(mode="before")(_few_fields)


def _told_or_priced(credit_amount: int | None, info: ValidationInfo) -> int | None:
    if credit_amount is None and info.data.get("token_count", 0) is None:
        raise ValueError("give an amount, or token_count and model_used for the price list")
    return credit_amount


PricedAmount = Annotated[
    CreditAmount | None,
    AfterValidator(_told_or_priced),
    Field(
        validate_default=True,
        description="Left out: what `token_count` costs by the price list (ALLOTMENT_PRICES).",
    ),
]
"""An amount in a body whose `token_count` stands before it."""


class UsageFactsBody(Body):
    """What a usage record will say of the work. How many tokens it took stands by its cost."""

    model_used: Text | None = Field(default=None, examples=["small-2"])
    session_id: Text | None = None
    details: Details | None = None
    timestamp: Timestamp | None = None


class _Cost(Body):
    user_id: UserIdText
    service_type: Text = Field(examples=["chat"])
    token_count: CreditAmount | None = Field(default=None, examples=[1200])
    credit_amount: PricedAmount = Field(default=None, examples=[30])


class RecordUsageBody(UsageFactsBody, _Cost):
    """Credits to charge to today: `credit_amount`, or what `token_count` costs."""

    model_config = shown(user_id="ada", service_type="chat", model_used="small-2", token_count=1200)

    on_insufficient: OnInsufficient = OnInsufficient.REJECT

    def command(self) -> RecordUsage:
        return RecordUsage(
            UserId(self.user_id),
            self.service_type,
            amount_of(self.credit_amount),
            self.timestamp,
            self.on_insufficient,
            **facts_in(self),
        )


def facts_in(body: Body) -> dict[str, Any]:
    """Return the facts that a body has, as commands have them: details as text."""
    said = body.__dict__
    facts = {name: said[name] for name in FACTS if name in said}
    if facts["details"] is not None:  # Sorted: the order of fields makes no other command.
        facts["details"] = json.dumps(facts["details"], ensure_ascii=False, sort_keys=True)
    return facts


def amount_of(credit_amount: int | None) -> Credits | None:
    """Return an amount as commands have it; None: the price list says it."""
    return None if credit_amount is None else Credits(credit_amount)


class BatchedUsageBody(RecordUsageBody, ParsedBody):
    """One record of a batch. Its key stands for it alone."""

    idempotency_key: IdempotencyKey | None = Field(default=None, examples=["job-17"])


class RecordUsagesBody(ParsedBody):
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


class ChangeSubscriptionBody(ParsedBody):
    """What an operator gives a subscription: another status, end or time zone, and why."""

    model_config = shown(timezone="Europe/Berlin", reason="The user has moved to Berlin.")

    status: Literal["active", "past_due", "paused", "cancelled", "expired"] | None = Field(
        default=None, examples=["paused"]
    )
    end_date: Timestamp | None = None
    timezone: (
        Annotated[
            Text,
            AfterValidator(check_zone),
            Field(
                description="IANA name. The day that is open ends where it would have; the next"
                " begins then, or at its midnight in the new zone, whichever is later."
            ),
        ]
        | None
    ) = None
    reason: (
        Annotated[Text, Field(description="Kept in the user's history, with who gave it.")] | None
    ) = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.status is None and self.end_date is None and self.timezone is None:
            raise ValueError("status, end_date or timezone is needed")
        return self

    def command(self, user_id: UserId, subscription_id: str) -> ChangeSubscription:
        status = None if self.status is None else Status(self.status)
        return ChangeSubscription(
            user_id, subscription_id, status, self.end_date, self.timezone, self.reason
        )

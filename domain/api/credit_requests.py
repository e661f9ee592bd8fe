"""What a client may send to add credits: a body, checked field by field, and what it means."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticKnownError

from domain.api.fields import shown
from domain.api.requests import CreditAmount, ParsedBody, Text, Timestamp, UserIdText
from domain.local_days import check_zone
from domain.messages import AddCredit
from domain.pack_messages import AddPack
from domain.packs import PRIORITY_DEFAULT, PRIORITY_MAX, Category
from domain.payments import Payment
from domain.values import Credits, UserId

T = TypeVar("T")

GRANT_DAYS_MAX = 3660  # Ten years: longer grants are typing errors.
METHOD_LENGTH_MAX, CURRENCY_LENGTH_MAX = 64, 16  # A subscription's document has them of each grant.

MethodText = Annotated[Text, StringConstraints(max_length=METHOD_LENGTH_MAX)]
CurrencyText = Annotated[Text, StringConstraints(max_length=CURRENCY_LENGTH_MAX)]


class PaymentBody(ParsedBody):
    """What was paid. `amount` is in the currency's minor unit (cents)."""

    method: MethodText = Field(examples=["card"])
    transaction_id: Text = Field(examples=["t-1"])
    amount: CreditAmount = Field(examples=[2900])
    currency: CurrencyText = Field(examples=["eur"])


def _days_of_kind(days: int | None, info: ValidationInfo) -> int | None:
    kind = info.data.get("kind")
    if kind == "pack" and days is not None:
        raise ValueError("a pack has no days")
    if kind == "daily" and days is None:
        raise PydanticKnownError("missing")
    return days


def _of_pack(value: T | None, info: ValidationInfo) -> T | None:
    if value is not None and info.data.get("kind") == "daily":
        raise ValueError("only a pack has it")
    return value


class AddCreditBody(ParsedBody):
    """Credits to add: over `days` days from today, or as a pack."""

    model_config = shown(
        user_id="ada",
        amount=1111,
        kind="pack",
        expires_at="2027-03-10T00:00:00Z",
        payment={"method": "card", "transaction_id": "t-2", "amount": 2900, "currency": "eur"},
    )

    user_id: UserIdText
    amount: CreditAmount = Field(examples=[3000])
    kind: Annotated[
        Literal["daily", "pack"],
        Field(description="`daily`: spread over days; `pack`: any part may be spent on any day."),
    ] = "daily"
    days: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=GRANT_DAYS_MAX)] | None,
        AfterValidator(_days_of_kind),
        Field(
            validate_default=True,
            description="Needed for `daily`; a pack has none.",
            examples=[30],
        ),
    ] = None
    payment: PaymentBody
    timezone: Annotated[
        Annotated[Text, AfterValidator(check_zone)] | None,
        Field(description="Of a subscription that begins with it; else nothing comes of it."),
    ] = None
    expires_at: Annotated[
        Timestamp | None,
        AfterValidator(_of_pack),
        Field(description="When what is left of a pack lapses, in the future; null: never."),
    ] = None
    priority: Annotated[
        Annotated[int, Field(strict=True, ge=0, le=PRIORITY_MAX)] | None,
        AfterValidator(_of_pack),
        Field(description=f"Packs of a lower one are spent first; {PRIORITY_DEFAULT} unless told."),
    ] = None
    category: Annotated[
        Literal["paid", "promotional"] | None,
        AfterValidator(_of_pack),
        Field(description="Of packs that are alike otherwise, promotional ones are spent first."),
    ] = None

    def command(self) -> AddCredit | AddPack:
        paid, amount = self.payment, Credits(self.amount)
        payment = Payment(paid.method, paid.transaction_id, paid.amount, paid.currency)
        if self.days is not None:
            return AddCredit(UserId(self.user_id), amount, self.days, payment, self.timezone)
        return AddPack(
            UserId(self.user_id),
            amount,
            payment,
            self.expires_at,
            PRIORITY_DEFAULT if self.priority is None else self.priority,
            Category.PAID if self.category is None else Category(self.category),
        )

"""Holds from Python: set credits aside, do the work, settle what it cost."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal

from actors.client.arguments import checked, user_id_of
from actors.protocol.calls import body_of, make_call
from actors.protocol.errors import AllotmentError, HoldNotFoundError
from actors.protocol.queries import HoldsQuery
from actors.routing.router import Router
from domain.api.answers import UsageRecordResponse
from domain.api.hold_answers import HoldResponse, OpenHolds
from domain.api.hold_requests import PlaceHoldBody, ReleaseHoldBody, SettleHoldBody
from domain.charges import OnInsufficient
from domain.holds import HOLD_SECONDS_DEFAULT

HoldManner = Literal[OnInsufficient.REJECT, OnInsufficient.RECORD, "reject", "record"]
Manner = OnInsufficient | Literal["reject", "record", "cap"]


class HoldMethods:
    """What `AsyncAllotment` does with holds. Every method may raise AllotmentError."""

    router: Router

    async def hold(  # noqa: PLR0913 - the fields of a usage record
        self,
        user_id: str,
        service_type: str,
        credit_amount: int,
        *,
        expires_in: int = HOLD_SECONDS_DEFAULT,
        token_count: int | None = None,
        model_used: str | None = None,
        session_id: str | None = None,
        details: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        on_insufficient: HoldManner = OnInsufficient.REJECT,
        at_least: int | None = None,
        key: str | None = None,
    ) -> HoldResponse:
        """Set credits aside for `expires_in` seconds, or raise InsufficientCreditsError.

        Where less than `credit_amount` is there, `at_least` is enough: the answer says how much.
        """
        body = checked(
            PlaceHoldBody,
            user_id=user_id,
            service_type=service_type,
            credit_amount=credit_amount,
            expires_in=expires_in,
            token_count=token_count,
            model_used=model_used,
            session_id=session_id,
            details=details,
            timestamp=timestamp,
            on_insufficient=on_insufficient,
            at_least=at_least,
        )
        reply = await self.router.call(make_call(body.command(), key))
        return HoldResponse.model_validate_json(body_of(reply))

    async def settle(  # noqa: PLR0913 - the fields of a usage record
        self,
        hold_id: str,
        credit_amount: int | None = None,
        *,
        token_count: int | None = None,
        tokens: Mapping[str, int] | None = None,
        model_used: str | None = None,
        details: Mapping[str, Any] | None = None,
        on_insufficient: Manner = OnInsufficient.CAP,
        key: str | None = None,
    ) -> UsageRecordResponse:
        """Charge what it cost to what the hold has set aside, and as far as it can be beyond.

        An expired hold is settled late, for a while. Raises HoldClosedError where it is closed.
        Without `credit_amount`: what `token_count`, or `tokens` by kind (`{"input": 900}`), cost by
        the price list.
        """
        body = checked(
            SettleHoldBody,
            credit_amount=credit_amount,
            token_count=token_count,
            tokens=tokens,
            model_used=model_used,
            details=details,
            on_insufficient=on_insufficient,
        )
        command = body.command(hold_id)
        if command is None:
            raise HoldNotFoundError
        reply = await self.router.call(make_call(command, key))
        return UsageRecordResponse.model_validate_json(body_of(reply))

    async def release(
        self, hold_id: str, *, reason: str | None = None, key: str | None = None
    ) -> None:
        """Give back what a hold has set aside. Raises HoldClosedError where it is over.

        `reason` is kept in the user's history.
        """
        command = checked(ReleaseHoldBody, reason=reason).command(hold_id)
        if command is None:
            raise HoldNotFoundError
        body_of(await self.router.call(make_call(command, key)))

    async def get_holds(self, user_id: str) -> OpenHolds:
        """Return a user's open holds, the one that expires first before the others."""
        reply = await self.router.query(HoldsQuery(user_id_of(user_id)))
        return OpenHolds.model_validate_json(body_of(reply))

    def holding(
        self,
        user_id: str,
        service_type: str,
        credit_amount: int,
        *,
        expires_in: int = HOLD_SECONDS_DEFAULT,
    ) -> "HoldBlock":
        """Hold credits for a block, which tells its cost with `report`.

        At the end of the block that is settled; where an exception ends it, or nothing was
        reported, the hold is released. Where it cost more than is there, what is there is charged:
        `usage.uncovered_credits` says the rest.
        """
        return HoldBlock(self, (user_id, service_type, credit_amount), expires_in)


@dataclass(slots=True)
class Holding:
    """A hold inside its block."""

    hold: HoldResponse
    usage: UsageRecordResponse | None = None
    """The charge, once the block is left."""
    cost: dict[str, Any] | None = None

    def report(
        self,
        credit_amount: int | None = None,
        *,
        token_count: int | None = None,
        tokens: Mapping[str, int] | None = None,
        model_used: str | None = None,
        details: Mapping[str, Any] | None = None,
        on_insufficient: Manner = OnInsufficient.CAP,
    ) -> None:
        """Say what it cost: `credit_amount`, or tokens. The last report counts."""
        self.cost = {
            "credit_amount": credit_amount,
            "token_count": token_count,
            "tokens": tokens,
            "model_used": model_used,
            "details": details,
            "on_insufficient": on_insufficient,
        }


class HoldBlock:
    """An asynchronous context manager around one hold."""

    def __init__(self, client: HoldMethods, what: tuple[str, str, int], expires_in: int) -> None:
        self._client = client
        self._what = what
        self._expires_in = expires_in
        self._holding: Holding | None = None

    async def __aenter__(self) -> Holding:
        """Place the hold."""
        hold = await self._client.hold(*self._what, expires_in=self._expires_in)
        self._holding = Holding(hold)
        return self._holding

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Settle what was reported, or release."""
        holding = self._holding
        assert holding is not None, "the block was entered"
        if error is None and holding.cost is not None:
            holding.usage = await self._client.settle(holding.hold.hold_id, **holding.cost)
            return
        with contextlib.suppress(AllotmentError):  # Else it expires by itself.
            await self._client.release(holding.hold.hold_id)

"""Corrections from Python: charges reversed, balances adjusted."""

from datetime import datetime

from actors.client.arguments import checked, user_id_of
from actors.protocol.calls import body_of, make_call
from actors.routing.router import Router
from domain.api.correction_answers import AdjustmentResponse, ReversalResponse
from domain.api.correction_requests import AdjustCreditsBody, ReverseUsageBody


class CorrectionMethods:
    """What `AsyncAllotment` does to correct. Every method may raise AllotmentError."""

    router: Router

    async def reverse(
        self,
        user_id: str,
        usage_id: str,
        reason: str,
        *,
        credit_amount: int | None = None,
        key: str | None = None,
    ) -> ReversalResponse:
        """Give back what a charge has taken, or a part of it, to where it came from.

        Raises AlreadyReversedError where nothing is left of it, UsageNotFoundError.
        """
        body = checked(ReverseUsageBody, credit_amount=credit_amount, reason=reason)
        call = make_call(body.command(user_id_of(user_id), usage_id), key)
        return ReversalResponse.model_validate_json(body_of(await self.router.call(call)))

    async def adjust(  # noqa: PLR0913 - what is given or taken, and how
        self,
        user_id: str,
        reason: str,
        *,
        credit_amount: int | None = None,
        remaining_credits: int | None = None,
        expires_at: datetime | None = None,
        allow_debt: bool = False,
        key: str | None = None,
    ) -> AdjustmentResponse:
        """Give or take credits, or set what is left to a number: one of the two amounts.

        Raises InsufficientCreditsError where there is less than is to be taken, unless
        `allow_debt`. `expires_at` is that of what is given.
        """
        body = checked(
            AdjustCreditsBody,
            user_id=user_id,
            credit_amount=credit_amount,
            remaining_credits=remaining_credits,
            reason=reason,
            expires_at=expires_at,
            allow_debt=allow_debt,
        )
        reply = await self.router.call(make_call(body.command(), key))
        return AdjustmentResponse.model_validate_json(body_of(reply))

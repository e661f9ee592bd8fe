"""Holds around a block: set credits aside, do the work, settle what it cost."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from allotment_client import accounts
from allotment_client.accounts import Manner
from allotment_client.answers import HoldResponse, UsageRecordResponse
from allotment_client.errors import AllotmentError
from allotment_client.methods import AsyncSender, Sender


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
        on_insufficient: Manner = "cap",
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
    """A context manager around one hold."""

    def __init__(self, client: Sender, what: tuple[str, str, int], expires_in: int) -> None:
        self._client = client
        self._what = what
        self._expires_in = expires_in
        self._holding: Holding | None = None

    def __enter__(self) -> Holding:
        """Place the hold."""
        hold = self._client.send(accounts.hold(*self._what, expires_in=self._expires_in))
        self._holding = Holding(hold)
        return self._holding

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Settle what was reported, or release."""
        holding = self._holding
        assert holding is not None, "the block was entered"
        if error is None and holding.cost is not None:
            settling = accounts.settle(holding.hold.hold_id, **holding.cost)
            holding.usage = self._client.send(settling)
            return
        with contextlib.suppress(AllotmentError):  # Else it expires by itself.
            self._client.send(accounts.release(holding.hold.hold_id))


class AsyncHoldBlock:
    """An asynchronous context manager around one hold."""

    def __init__(self, client: AsyncSender, what: tuple[str, str, int], expires_in: int) -> None:
        self._client = client
        self._what = what
        self._expires_in = expires_in
        self._holding: Holding | None = None

    async def __aenter__(self) -> Holding:
        """Place the hold."""
        hold = await self._client.send(accounts.hold(*self._what, expires_in=self._expires_in))
        self._holding = Holding(hold)
        return self._holding

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Settle what was reported, or release. A cancelled task does so in the background."""
        holding = self._holding
        assert holding is not None, "the block was entered"
        if error is None and holding.cost is not None:
            settling = accounts.settle(holding.hold.hold_id, **holding.cost)
            holding.usage = await self._client.finished(self._client.send(settling))
            return
        with contextlib.suppress(AllotmentError):  # Else it expires by itself.
            releasing = accounts.release(holding.hold.hold_id)
            await self._client.finished(self._client.send(releasing))

"""Somebody who buys packs and spends them, and the documents of that."""

from typing import Any

from domain.corrections import AdjustCredits, ReverseUsage
from domain.holds import ExpireHold, HoldPlaced, PlaceHold, SettleHold
from domain.messages import Entry, charge_in
from domain.pack_messages import ExpirePack, PackAdded
from domain.values import Credits
from tests.builders.authors import Author, add_pack


class Buyer(Author):
    """Decides about packs and corrections, too."""

    def buy(self, amount: int = 1000, transaction: str = "p-1", **fields: Any) -> Entry:
        return self.do(add_pack(self.account.user_id, amount, transaction, **fields))

    def hold(self, amount: int, seconds: int = 300) -> Entry:
        return self.do(PlaceHold(self.account.user_id, "chat", Credits(amount), seconds))

    def settle(self, placed: Entry, amount: int) -> Entry:
        return self.do(SettleHold(self.account.user_id, hold_of(placed), Credits(amount)))

    def expire_hold(self, placed: Entry) -> Entry:
        return self.do(ExpireHold(self.account.user_id, hold_of(placed)))

    def reverse(self, charge: Entry, amount: int | None = None) -> Entry:
        part = None if amount is None else Credits(amount)
        return self.do(ReverseUsage(self.account.user_id, usage_of(charge), part, "a mistake"))

    def adjust(self, amount: int, **fields: Any) -> Entry:
        command = AdjustCredits(self.account.user_id, Credits(amount), None, "as asked", **fields)
        return self.do(command)

    def expire(self, bought: Entry) -> Entry:
        return self.do(ExpirePack(self.account.user_id, pack_of(bought)))


def pack_of(bought: Entry) -> str:
    assert isinstance(bought.change, PackAdded)
    return bought.change.pack.pack_id


def hold_of(placed: Entry) -> str:
    assert isinstance(placed.change, HoldPlaced)
    return placed.change.hold.hold_id


def usage_of(entry: Entry) -> str:
    charge = charge_in(entry.change)
    assert charge is not None
    return charge.usage_id

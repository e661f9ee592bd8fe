"""Calls that place and settle holds."""

from actors.protocol.calls import Call, Reply
from domain.api.hold_answers import HoldResponse
from domain.holds import PlaceHold, SettleHold
from domain.values import Credits, UserId

ANN = UserId("ann")


def hold_call(amount: int, key: str, *, seconds: int = 60, user_id: UserId = ANN) -> Call:
    command = PlaceHold(user_id, "chat", Credits(amount), seconds)
    return Call(command, key, keep_refusal=True)


def settle_call(hold_id: str, amount: int, key: str, *, user_id: UserId = ANN) -> Call:
    return Call(SettleHold(user_id, hold_id, Credits(amount)), key, keep_refusal=True)


def placed(reply: Reply) -> HoldResponse:
    assert reply.body is not None, reply
    return HoldResponse.model_validate_json(reply.body)

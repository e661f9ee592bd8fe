"""Calls that write down what is over: whoever notices uses the same keys."""

from actors.protocol.calls import Call, service_call
from domain.holds import ExpireHold
from domain.values import UserId

JANITOR = "janitor"  # How the journal names the job that does the same.
SHARD = "shard"  # How the journal names a shard's own timer.


def expire_call(
    user_id: UserId,
    hold_id: str,
    subscription_id: str | None = None,
    *,
    of_packs: bool = False,
    by: str = SHARD,
) -> Call:
    """Return the call that expires a hold, once; `of_packs`: no day holds credits of it any more."""
    # The first 24 digits name it among the user's.
    key = f"expire hold {hold_id[:24]}{' of packs' if of_packs else ''}"
    command = ExpireHold(user_id, hold_id, subscription_id)
    return service_call(command, key, by)

"""The JSON texts of statuses, kept as long as nothing in them changes but `as_of`."""

from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json

from actors.shard.awake import WHOLE_MAX
from domain.account import Account
from domain.api.render import status_answer
from domain.values import Policy, UserId

TEXTS_MAX = WHOLE_MAX  # Texts kept by one shard, about 0.7 KB each: of an account that is whole.
LAST_FIELD = b'"as_of":'


class _Kept(NamedTuple):
    account: Account
    since: datetime
    until: datetime
    head: bytes
    """All of the text before the value of `as_of`."""


class StatusTexts:
    """Answers reads of the same unchanged account from the text of the first one."""

    def __init__(self) -> None:
        self._kept: dict[UserId, _Kept] = {}
        self._tail: tuple[datetime | None, bytes] = (None, b"")

    def text(self, account: Account, now: datetime, policy: Policy) -> bytes:
        """Return the status of an account as JSON."""
        kept = self._kept.get(account.user_id)
        if kept is None or kept.account is not account or not kept.since <= now < kept.until:
            kept = self._keep(account, now, policy)
        if self._tail[0] is not now:  # Reads that came together have one instant.
            self._tail = now, to_json(now) + b"}"
        return kept.head + self._tail[1]

    def forget(self, user_id: UserId) -> None:
        """Drop the text of a user."""
        self._kept.pop(user_id, None)

    def forget_all(self) -> None:
        """Drop all texts: what they say depends on more than the accounts, and that has changed."""
        self._kept.clear()

    def _keep(self, account: Account, now: datetime, policy: Policy) -> _Kept:
        answer = status_answer(account, now, policy)
        moments = [m for s in account.subscriptions for m in (s.start, s.end)]
        moments += [one.hold.expires_at for one in account.holds()]
        moments += [pack.expires_at for pack in account.packs if pack.expires_at is not None]
        boundaries = [moment for moment in moments if moment > now]
        text = to_json(answer)
        head = text[: text.rindex(LAST_FIELD) + len(LAST_FIELD)]
        kept = _Kept(account, now, min([answer.resets_at, *boundaries]), head)
        if len(self._kept) >= TEXTS_MAX:
            self._kept.pop(next(iter(self._kept)))
        self._kept[account.user_id] = kept
        return kept

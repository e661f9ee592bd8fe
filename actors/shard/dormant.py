"""Accounts as the database sent them, not looked into yet: a first touch needs no round trip."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from domain.documents.recovery import Stored
from domain.values import UserId

BYTES_PER_ACCOUNT = 1_536  # What one place in RAM is worth.
OVERHEAD_BYTES = 500  # Of one dormant account: its place in the tables, its ids.


class RawAccount(NamedTuple):
    """What is stored of one user whose views are complete. Only the adapter reads the bytes."""

    applied_seq: int
    subscriptions: bytes
    days: bytes

    @property
    def packs(self) -> bytes:
        return b""


class RawAccountWithPacks(NamedTuple):
    """The same of one who has packs: an account without any takes no more RAM for them."""

    applied_seq: int
    subscriptions: bytes
    days: bytes
    packs: bytes


AnyRawAccount = RawAccount | RawAccountWithPacks


class Dormant:
    """Accounts that wait for their first touch."""

    def __init__(self) -> None:
        self._read: Callable[[UserId, AnyRawAccount], Stored] | None = None
        self._accounts: dict[UserId, AnyRawAccount] = {}
        self._bytes = 0

    def __contains__(self, user_id: UserId) -> bool:
        return user_id in self._accounts

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def places(self) -> int:
        """How many accounts could be held in the RAM that these take."""
        return self._bytes // BYTES_PER_ACCOUNT

    def open(self, read: Callable[[UserId, AnyRawAccount], Stored]) -> None:
        """Use this to look into what is put here from now on."""
        self._read = read

    def put(self, user_id: UserId, account: AnyRawAccount) -> None:
        """Keep an account."""
        self.drop(user_id)
        self._accounts[user_id] = account
        self._bytes += _size(account)

    def drop(self, user_id: UserId) -> bool:
        """Forget an account. Returns whether it was there."""
        account = self._accounts.pop(user_id, None)
        if account is None:
            return False
        self._bytes -= _size(account)
        return True

    def users(self) -> list[UserId]:
        """Return whose accounts are here."""
        return list(self._accounts)

    def peek(self, user_id: UserId) -> Stored | None:
        """Return what is stored of one who is here, and leave it dormant."""
        account = self._accounts.get(user_id)
        if account is None:
            return None
        assert self._read is not None, "it is opened before anything is put"
        return self._read(user_id, account)

    def wake(self, user_ids: Iterable[UserId]) -> list[Stored]:
        """Return what is stored of those that are here; they are here no longer."""
        woken = []
        for user_id in user_ids:
            stored = self.peek(user_id)
            if stored is not None:
                woken.append(stored)
                self.drop(user_id)
        return woken

    def oldest(self) -> UserId | None:
        """Return who was put here first; None where nobody is."""
        return next(iter(self._accounts), None)

    def clear(self) -> None:
        """Forget all."""
        self._accounts = {}
        self._bytes = 0


def _size(account: AnyRawAccount) -> int:
    return OVERHEAD_BYTES + len(account.subscriptions) + len(account.days) + len(account.packs)

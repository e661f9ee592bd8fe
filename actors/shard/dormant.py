"""Accounts as the database sent them, not looked into yet: a first touch needs no round trip."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

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


class RawSource(Protocol):
    """Where such accounts come from."""

    def read(self, user_id: UserId, account: AnyRawAccount) -> Stored:
        """Return what is stored of a user."""

    def of(self, users: Sequence[UserId], now: datetime) -> dict[UserId, AnyRawAccount]:
        """Return what is stored now of these users, without those who have no such account.

        Blocks. Raises StorageUnavailableError.
        """


class Dormant:
    """Accounts that wait for their first touch."""

    def __init__(self) -> None:
        self._source: RawSource | None = None
        self._accounts: dict[UserId, AnyRawAccount] = {}
        self._sound: set[UserId] = set()
        """Whose accounts were compared, and left here."""
        self._bytes = 0

    def __contains__(self, user_id: UserId) -> bool:
        return user_id in self._accounts

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def places(self) -> int:
        """How many accounts could be held in the RAM that these take."""
        return self._bytes // BYTES_PER_ACCOUNT

    @property
    def source(self) -> RawSource:
        """Where they come from."""
        assert self._source is not None, "it is opened before anything is put"
        return self._source

    def open(self, source: RawSource) -> None:
        """Take accounts from here from now on."""
        self._source = source

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
        self._sound.discard(user_id)
        self._bytes -= _size(account)
        return True

    def users(self) -> list[UserId]:
        """Return whose accounts are here."""
        return list(self._accounts)

    def peek(self, user_id: UserId) -> Stored | None:
        """Return what is stored of one who is here, and leave it dormant."""
        account = self._accounts.get(user_id)
        return None if account is None else self.source.read(user_id, account)

    def raw(self, user_ids: Iterable[UserId]) -> dict[UserId, AnyRawAccount]:
        """Return the accounts of those who are here, as they are."""
        return {u: self._accounts[u] for u in user_ids if u in self._accounts}

    def has(self, user_id: UserId, account: AnyRawAccount) -> bool:
        """Whether this account is here, and not another of the same user that came later."""
        return self._accounts.get(user_id) is account

    def is_sound(self, user_id: UserId) -> bool:
        """Whether an account was compared with what is stored, and all of it could be read."""
        return user_id in self._sound

    def note_sound(self, user_id: UserId) -> None:
        """Note that the account that is here was compared, and all of it could be read."""
        self._sound.add(user_id)

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
        self._accounts, self._sound = {}, set()
        self._bytes = 0


def _size(account: AnyRawAccount) -> int:
    return OVERHEAD_BYTES + len(account.subscriptions) + len(account.days) + len(account.packs)

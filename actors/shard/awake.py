"""Accounts that were looked into, in the order of their last use; those not used for a while are packed."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import chain

from actors.shard.packing import packed, unpacked
from domain.account import Account
from domain.values import UserId

WHOLE_MAX = 10_000  # Accounts of a shard that are kept as they are: a use of another unpacks it.
WHOLE_SHARE = 2  # Of those that a shard may hold, one in so many at most.


class Awake(Mapping[UserId, Account]):
    """A mapping whose users are in the order of their last use. Looking at an account is no use."""

    def __init__(self, accounts_max: int) -> None:
        """`accounts_max`: how many are to be held at most."""
        self._whole_max = min(WHOLE_MAX, accounts_max // WHOLE_SHARE)
        self._whole: OrderedDict[UserId, Account] = OrderedDict()
        self._packed: dict[UserId, bytes] = {}
        """Used before all that are whole."""

    def __getitem__(self, user_id: UserId) -> Account:
        return self._whole.get(user_id) or unpacked(self._packed[user_id])

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._whole or user_id in self._packed

    def __iter__(self) -> Iterator[UserId]:
        return chain(self._packed, self._whole)

    def __len__(self) -> int:
        return len(self._packed) + len(self._whole)

    def put(self, account: Account) -> None:
        """Keep an account, in place of what was kept of its user, as the one used last."""
        user_id = account.user_id
        self._packed.pop(user_id, None)
        self._whole[user_id] = account
        self._whole.move_to_end(user_id)
        if len(self._whole) > self._whole_max:
            other, oldest = next(iter(self._whole.items()))
            self._packed[other] = packed(oldest)
            del self._whole[other]

    def use(self, user_id: UserId) -> Account | None:
        """Return an account as the one used last; None: it is not here."""
        account = self._whole.get(user_id)
        if account is not None:
            self._whole.move_to_end(user_id)
        elif user_id in self._packed:
            account = unpacked(self._packed[user_id])
            self.put(account)
        return account

    def drop(self, user_id: UserId) -> bool:
        """Forget an account. Returns whether it was there."""
        there = self._packed.pop(user_id, None) is not None
        return self._whole.pop(user_id, None) is not None or there

"""Which resident account a document belongs to, by the document's id alone.

A document that was deleted leaves only its id. Ids that this program made carry a mark of their
user, so one key an account is enough for all of them; ids of other programs are learnt one by
one when their account is loaded. A mark that two users share costs one needless load.
"""

from collections.abc import Iterable

from domain.values import UserId, mark_of, owner_mark


class DocumentOwners:
    """From document ids to the accounts that a shard holds."""

    def __init__(self) -> None:
        self._users: dict[int, UserId | tuple[UserId, ...]] = {}
        self._foreign: dict[UserId, tuple[int, ...]] = {}

    def learn(self, user_id: UserId, document_ids: Iterable[str]) -> None:
        """Note whose these documents are, in the place of what was known of the user."""
        mark = owner_mark(user_id)
        self._drop(user_id, mark)
        foreign = tuple({_key(i) for i in document_ids if mark_of(i) != mark})
        if foreign:
            self._foreign[user_id] = foreign
        for key in (int(mark, 16), *foreign):
            self._users[key] = _with(self._users.get(key), user_id)

    def forget(self, user_id: UserId) -> None:
        """Drop what is known of a user's documents."""
        self._drop(user_id, owner_mark(user_id))

    def _drop(self, user_id: UserId, mark: str) -> None:
        for key in (int(mark, 16), *self._foreign.pop(user_id, ())):
            if self._users.get(key) is None:
                continue
            rest = tuple(u for u in _users(self._users.get(key)) if u != user_id)
            if rest:
                self._users[key] = rest if len(rest) > 1 else rest[0]
            else:
                self._users.pop(key, None)

    def of(self, document_id: str) -> set[UserId]:
        """Return the users this document may belong to."""
        found = set(_users(self._users.get(_key(document_id))))
        mark = mark_of(document_id)
        if _is_hex(mark):
            found.update(_users(self._users.get(int(mark, 16))))
        return found


def _key(document_id: str) -> int:
    return hash(document_id)  # It never leaves this process.


def _is_hex(mark: str) -> bool:
    return len(mark) == 8 and all(digit in "0123456789abcdef" for digit in mark)


def _users(held: UserId | tuple[UserId, ...] | None) -> tuple[UserId, ...]:
    if held is None:
        return ()
    return held if isinstance(held, tuple) else (held,)


def _with(held: UserId | tuple[UserId, ...] | None, user_id: UserId) -> UserId | tuple[UserId, ...]:
    return user_id if held is None else (*_users(held), user_id)

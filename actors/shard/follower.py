"""How a shard follows the changes that others make in MongoDB.

A changed account is forgotten at once and read again behind the traffic. Two things could bring
an old state back, and neither does:

* a load that was under way when the change was told may have read the old documents. What it
  brings serves the batch that waits for it, which came before the change, and is forgotten with
  the end of that batch. Nobody else reads it.
* a commit that was under way publishes only accounts that are still held.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from actors.protocol.changes import Changes, Stamp
from actors.protocol.store import Moment
from actors.runtime.counters import Counters
from actors.shard.document_owners import Owners
from actors.shard.dormant import Dormant
from actors.shard.reloader import Reloader
from actors.shard.warm_start import Held, WarmStart
from domain.documents.recovery import Stored
from domain.values import UserId


class Follower(Held, Protocol):
    """The shard, as it is seen from here."""

    reloader: Reloader

    def forget(self, user_id: UserId) -> bool:
        """Drop an account from RAM. Returns whether it was there."""

    def forget_all(self) -> None:
        """Drop everything from RAM."""


class Following:
    """What a shard knows of the outside: whose documents, what is in doubt, how old its news."""

    def __init__(
        self,
        shard: Follower,
        hear: Callable[[Moment], object],
        counters: Counters,
        max_staleness: float,
        clock: Callable[[], float],
    ) -> None:
        """`max_staleness` is in seconds of `clock`, which never goes back.

        `hear` is told what later reads have to see.
        """
        self._shard = shard
        self._hear_moment = hear
        self._counters = counters
        self._owners = Owners()
        self.dormant = Dormant()
        self.warm = WarmStart(shard, counters, self.dormant, self._learn_of)
        self._max_staleness = max_staleness
        self._clock = clock
        self._loading: frozenset[UserId] = frozenset()
        self.doubted: set[UserId] = set()
        """Accounts in RAM that serve the batch under way and nobody else."""
        self._incarnation = secrets.token_hex(8)
        self._current_at = clock()

    # --- being told ---------------------------------------------------------------------

    def follow(self, changes: Changes) -> Stamp:
        """Forget what has changed, and return when: from here on nobody reads it."""
        if changes.moment is not None:
            self._hear_moment(changes.moment)
        if changes.forget_all:
            self._forget_everything()
        users = set(changes.users)
        for document_id in changes.documents:
            users |= self._owners.of(document_id)
        if changes.documents:  # Nobody knows yet which documents are being loaded.
            self.doubted |= self._loading
            self.warm.disturb_documents(changes.documents)
        self.doubted |= self._loading & users
        held = [user_id for user_id in users if self._shard.forget(user_id)]
        self._counters.followed += len(held)
        self._shard.reloader.want(held)
        self._hear(changes)
        return Stamp(self._incarnation, self._clock())

    def _forget_everything(self) -> None:
        self.doubted |= self._loading
        self._owners = Owners()
        self.dormant.clear()
        self._shard.forget_all()
        self.warm.begin()

    # --- loads and the batch under way --------------------------------------------------

    @contextlib.contextmanager
    def loading(self, user_ids: Iterable[UserId]) -> Iterator[Callable[[Sequence[Stored]], None]]:
        """Note that accounts are being read: what changes from now on is in doubt.

        Yields what is to be told of the documents that were found.
        """
        self._loading = frozenset(user_ids)
        self.doubted -= self._loading
        try:
            yield self._learn
        finally:
            self._loading = frozenset()

    def _learn(self, stored: Sequence[Stored]) -> None:
        for one in stored:
            self.dormant.drop(one.user_id)
            self.warm.loaded(one.user_id)
            documents = (*one.subscriptions, *one.days, *one.packs)
            self._owners.learn(one.user_id, [str(d["_id"]) for d in documents])

    def end_batch(self) -> None:
        """Forget the accounts that served the batch but may be old, or are other shards'."""
        for user_id in self.doubted:
            self._shard.forget(user_id)
        self._shard.reloader.want(filter(self._shard.owns, self.doubted))
        self.doubted = set()

    def forgotten(self, user_id: UserId) -> bool:
        """Note that an account is no longer held. Returns whether it was dormant."""
        self.warm.disturb(user_id)
        self._owners.forget(user_id)
        return self.dormant.drop(user_id)

    def make_room(self, places: int) -> int:
        """Forget as many dormant accounts as take these places. Returns how many were made."""
        before = self.dormant.places
        while before - self.dormant.places < places and (user_id := self.dormant.oldest()):
            self.forgotten(user_id)
        return before - self.dormant.places

    def _learn_of(self, user_id: UserId, document_ids: Iterable[str]) -> None:
        self._owners.learn(user_id, document_ids)

    # --- how old the news are -----------------------------------------------------------

    @property
    def heartbeat_age(self) -> float:
        """RAM contains at least what was in MongoDB so many seconds ago."""
        return self._clock() - self._current_at

    @property
    def is_stale(self) -> bool:
        """Whether nothing in RAM may be trusted without reading it again."""
        return self.heartbeat_age > self._max_staleness

    def _hear(self, changes: Changes) -> None:
        """Take up the age that a message tells.

        It was true when the message was sent, and all that is known of that moment is that it
        came after the stamp inside: a message that was long on its way proves little.
        """
        stamp = changes.stamp
        if changes.age_seconds is None or stamp is None or stamp.incarnation != self._incarnation:
            return
        self._current_at = max(self._current_at, stamp.at - changes.age_seconds)

"""How a shard follows the changes that others make in MongoDB.

A changed account is forgotten at once and read again behind the traffic. Two things could bring
an old state back, and neither does:

* a load that was under way when the change was told may have read the old documents. What it
  brings serves the batch that waits for it, which came before the change, and is forgotten with
  the end of that batch. Nobody else reads it.
* a commit that was under way publishes only accounts that are still held.
"""

import secrets
from collections.abc import Callable

from actors.protocol.changes import Changes, Stamp
from actors.protocol.store import Moment
from actors.runtime.counters import Counters
from actors.shard.accounts import Accounts
from actors.shard.reloader import Reloader


class Following:
    """What a shard is told of the outside, and how old its news are."""

    def __init__(
        self,
        accounts: Accounts,
        reloader: Reloader,
        hear: Callable[[Moment], object],
        counters: Counters,
        max_staleness: float,
        clock: Callable[[], float],
    ) -> None:
        """`max_staleness` is in seconds of `clock`, which never goes back.

        `hear` is told what later reads have to see.
        """
        self._accounts = accounts
        self._reloader = reloader
        self._hear_moment = hear
        self._counters = counters
        self._max_staleness = max_staleness
        self._clock = clock
        self._incarnation = secrets.token_hex(8)
        self._current_at = clock()

    def follow(self, changes: Changes) -> Stamp:
        """Forget what has changed, and return when: from here on nobody reads it."""
        accounts = self._accounts
        if changes.moment is not None:
            self._hear_moment(changes.moment)
        if changes.forget_all:
            self._forget_all()
        users = accounts.owners_of(changes.documents).union(changes.users)
        if changes.documents:  # Nobody knows yet which documents are being loaded.
            accounts.doubt_loading()
            accounts.filling.disturb_documents(changes.documents)
        accounts.doubt_loading(users)
        held = [user_id for user_id in users if accounts.forget(user_id)]
        self._counters.followed += len(held)
        self._reloader.want(held)
        self._hear(changes)
        return Stamp(self._incarnation, self._clock())

    def _forget_all(self) -> None:
        self._accounts.forget_all()
        self._reloader.clear()
        self._counters.resyncs += 1

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

"""All that a shard's RAM holds of its users, in one place.

An account is awake (decided on, answered from) or dormant (as the database sent it, not looked into
yet), never both. What is forgotten is forgotten everywhere at once, and the next touch reads it
again. What a load brings that a change has overtaken is doubted: it serves the batch under way,
which came before the change, and nobody else.
"""

import contextlib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

from actors.runtime.counters import Counters
from actors.shard.awake import Awake
from actors.shard.comparison_round import ComparisonRound
from actors.shard.document_owners import DocumentOwners
from actors.shard.dormant import AnyRawAccount, Dormant
from actors.shard.filling import Filling
from actors.shard.idempotency import FirstAnswers
from actors.shard.open_holds import KnownHolds
from actors.shard.status_cache import StatusTexts
from domain.account import Account
from domain.documents.recovery import Stored
from domain.messages import Command
from domain.recalls import Recalls, all_recalls
from domain.retention import keep_what_matters
from domain.values import UserId

EVICTION_SCAN_MAX = 1_000  # Accounts looked at for one that may be dropped.


class Accounts(Mapping[UserId, Account]):
    """The accounts of one shard, with all that is known of their users. A mapping of those awake.

    Only the shard's loop wakes and changes accounts; anybody may have one forgotten.
    """

    def __init__(self, accounts_max: int, counters: Counters, now: Callable[[], datetime]) -> None:
        self._accounts_max = accounts_max
        self._counters = counters
        self._awake = Awake(accounts_max)
        self._documents = DocumentOwners()
        self._loading: set[UserId] = set()
        self.dormant = Dormant()
        self.filling = Filling(counters)
        self.open_holds = KnownHolds(counters, now)
        self.answers = FirstAnswers()
        self.texts = StatusTexts()
        self.to_compare = ComparisonRound(now)
        self.doubted: set[UserId] = set()
        """Accounts in RAM that serve the batch under way and nobody else."""
        self.broken: set[UserId] = set()
        """Whose journal was broken when it was read last."""

    # --- what is here -------------------------------------------------------------------

    def __getitem__(self, user_id: UserId) -> Account:
        return self._awake[user_id]

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._awake

    def __iter__(self) -> Iterator[UserId]:
        return iter(self._awake)

    def __len__(self) -> int:
        return len(self._awake)

    def trusted(self, user_id: UserId) -> Account | None:
        """Return an account for whoever reads it now; None: the shard's loop has to load it."""
        return None if user_id in self.doubted else self._awake.use(user_id)

    def use(self, user_id: UserId) -> Account | None:
        """Return an account that may be read again and again now; None: it is not awake."""
        return self._awake.use(user_id)

    def users(self) -> list[UserId]:
        """Return whose accounts are here, be they awake or dormant."""
        return [*self._awake, *self.dormant.users()]

    def owners_of(self, document_ids: Iterable[str]) -> set[UserId]:
        """Return the users here to whom these documents may belong."""
        return {user_id for one in document_ids for user_id in self._documents.of(one)}

    @property
    def room(self) -> int:
        """How many more accounts may be held; less than 0 where it is too many."""
        return self._accounts_max - len(self._awake) - self.dormant.places

    # --- what comes in ------------------------------------------------------------------

    def put(self, account: Account) -> None:
        """Hold an account that was loaded."""
        self._awake.put(account)
        self.to_compare.note(account.user_id)
        self.broken.discard(account.user_id)
        self.open_holds.note(account)

    def publish(self, account: Account, now: datetime) -> None:
        """Hold an account as a batch has decided it, without what RAM lets go of it by `now`."""
        self._awake.put(keep_what_matters(account, now))
        self.to_compare.note(account.user_id)
        self.open_holds.note(account)

    def put_dormant(
        self, user_id: UserId, account: AnyRawAccount, document_ids: Iterable[str]
    ) -> None:
        """Hold an account that is not looked into; the documents are those without its mark."""
        self.dormant.put(user_id, account)
        self.to_compare.join(user_id)
        self._documents.learn(user_id, document_ids)
        self._counters.warmed += 1
        self._counters.dormant = len(self.dormant)

    @contextlib.contextmanager
    def loading(self, user_ids: Collection[UserId]) -> Iterator[None]:
        """Note that accounts are being read as long as the block."""
        self.begin_loading(user_ids)
        try:
            yield
        finally:
            self.end_loading(user_ids)

    def begin_loading(self, user_ids: Collection[UserId]) -> None:
        """Note that accounts are being read: what changes from now on is in doubt."""
        self._loading.update(user_ids)
        self.doubted.difference_update(user_ids)

    def end_loading(self, user_ids: Collection[UserId]) -> None:
        """Note that what was read is here, or is not to come."""
        self._loading.difference_update(user_ids)

    def learn(self, stored: Sequence[Stored]) -> None:
        """Take up whose documents were found. To be called right before the accounts are put here."""
        for one in stored:
            self.dormant.drop(one.user_id)
            self.filling.loaded(one.user_id)
            documents = (*one.subscriptions, *one.days, *one.packs)
            self._documents.learn(one.user_id, [str(d["_id"]) for d in documents])

    def doubt_loading(self, users: Container[UserId] | None = None) -> None:
        """Doubt what the load under way brings: of these users, or of all whom it loads."""
        self.doubted |= {u for u in self._loading if users is None or u in users}

    # --- what goes ----------------------------------------------------------------------

    def forget_recalled(self, commands: Iterable[Command]) -> dict[UserId, Recalls]:
        """Drop accounts of which commands speak of what RAM let go; return that, by user."""
        recalled = all_recalls(commands, self)
        for user_id in recalled:
            self.forget(user_id)
        return recalled

    def forget(self, user_id: UserId) -> bool:
        """Drop an account from RAM. Returns whether it was there."""
        self.filling.disturb(user_id)
        self._documents.forget(user_id)
        self.open_holds.forget(user_id)
        was_dormant = self.dormant.drop(user_id)
        return self._awake.drop(user_id) or was_dormant

    def forget_all(self) -> None:
        """Drop every account from RAM, and fill it from the start."""
        self.doubt_loading()
        self._documents = DocumentOwners()
        self.dormant.clear()
        self._awake = Awake(self._accounts_max)
        self.open_holds.forget_all()
        self.to_compare.begin_again()
        self.filling.begin()

    def forget_doubted(self) -> set[UserId]:
        """Drop the accounts that served the batch under way and nobody else. Returns whose.

        What is still being read stays in doubt.
        """
        doubted = self.doubted - self._loading
        self.doubted -= doubted
        for user_id in doubted:
            self.forget(user_id)
        return doubted

    def let_go(self, user_id: UserId) -> None:
        """Drop a user who is made anonymous, with all that names them here."""
        self.forget(user_id)
        self.open_holds.let_go(user_id)
        self.to_compare.let_go(user_id)
        self.filling.loaded(user_id)
        self.answers.forget(user_id)
        self.texts.forget(user_id)
        self.broken.discard(user_id)

    def make_room(self, lagging: Container[UserId]) -> None:
        """Drop what is too much: dormant accounts first, then those used least recently.

        Those of `lagging` users are passed over: views have yet to be written of them.
        """
        excess = -self.room
        if excess > 0 and (excess := excess - self._drop_dormant(excess)) > 0:
            oldest = list(islice(self._awake, excess + EVICTION_SCAN_MAX))
            for user_id in [u for u in oldest if u not in lagging][:excess]:
                self.forget(user_id)
                self._counters.evictions += 1
        self.count()

    def _drop_dormant(self, places: int) -> int:
        """Forget as many dormant accounts as take these places. Returns how many were made."""
        before = self.dormant.places
        while before - self.dormant.places < places and (user_id := self.dormant.oldest()):
            self.forget(user_id)
        return before - self.dormant.places

    def count(self) -> None:
        """Bring the number of accounts up to date."""
        self._counters.users = len(self._awake)

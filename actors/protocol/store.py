"""What the actors need of a database, in the domain's nouns, and how it may fail.

StoreError
├── AppendFailedError         what was to be entered is not, or nobody knows
│   ├── AppendRefusedError    a sequence number or a key is taken; what came before it was written
│   └── AppendInDoubtError    the append may or may not have landed, now or later
├── JournalBrokenError        entries of some accounts are missing or unreadable: decide nothing
├── ViewsTakenError           another writer has brought these views forward already
└── StorageUnavailableError   the database did not answer; nothing was written
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from actors.protocol.queries import (
    HistoryQuery,
    RefusalPageQuery,
    SubscriptionPageQuery,
    UsageQuery,
)
from domain.api.answers import SubscriptionPage
from domain.api.history_answers import HistoryPage
from domain.api.refusal_answers import RefusalPage
from domain.api.usage_answers import UsagePage, UserUsage
from domain.documents.journal import SpoiltEntry
from domain.documents.recovery import Stored
from domain.documents.subscriptions import Document
from domain.documents.views import AccountViews
from domain.messages import Entry
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.values import UserId

LATE_APPEND = timedelta(seconds=30)  # How long after its instant an entry may still land.
ELECTION_SECONDS = 8.0  # How long calls wait for a database that elects a primary.


Moment = tuple[int, int]
"""An instant of the database's own clock, by which writes are in order: seconds, and a number."""


class StoreError(Exception):
    """The database refused or failed. The cause is kept; it is not for clients' eyes."""


class AppendFailedError(StoreError):
    """What was to be entered is not, or nobody knows."""


class AppendRefusedError(AppendFailedError):
    """A sequence number or an idempotency key is taken. `landed`: so many entries before it were written."""

    def __init__(self, message: str, landed: int = 0) -> None:
        super().__init__(message)
        self.landed = landed


class AppendInDoubtError(AppendFailedError):
    """The outcome of the append is unknown: forget, look what landed, decide again."""


class JournalBrokenError(StoreError):
    """Entries that no view contains are missing or unreadable: what was decided is not known."""

    def __init__(self, broken: Mapping[UserId, str]) -> None:
        super().__init__("the journal is broken")
        self.broken = broken
        """What is wrong with whose journal: the rest of a sentence."""


class ViewsRefusedError(StoreError):
    """The database will not take some of these views, however often they are sent.

    A document of another program stands in the way: a text where a number is raised, or an id
    that is taken. Nothing was written.
    """


class ViewsTakenError(StoreError):
    """The views of some accounts are not where the caller thought. Nothing was written."""

    def __init__(self, applied_seq: Mapping[UserId, int]) -> None:
        super().__init__("the views were brought forward by another writer")
        self.applied_seq = applied_seq
        """Where the views of every account of the call stand now."""


class StorageUnavailableError(StoreError):
    """The database did not answer in time. Nothing was written; try again later."""


FENCED = "it is being made anonymous"
"""What is wrong with an account that nobody may decide about for now: its journal is whole."""


class Store(Protocol):
    """The journal and its views. Every call blocks; every call may raise StoreError."""

    def load(
        self, user_ids: Sequence[UserId], now: datetime, recalls: Recalls = NOTHING_BESIDE
    ) -> list[Stored]:
        """Return what is stored of every user, in order, in a bounded number of round trips.

        Beside it, of these users: the charges and expired holds that are recalled.

        Raises JournalBrokenError.
        """

    def hear(self, moment: Moment) -> None:
        """Have later reads see all that a majority had then: somebody has told what changed."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, in order. Raises AppendRefusedError, AppendInDoubtError.

        Where one is refused those before it stay, and those after it are not written: no user has a gap.
        """

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> Sequence[Entry | SpoiltEntry]:
        """Return the entries that these users' idempotency keys already have."""

    def write_views(self, views: Sequence[AccountViews]) -> None:
        """Bring the views of many accounts forward, all or none.

        Raises ViewsTakenError, ViewsRefusedError.
        """

    def appended_since(self, since: datetime, until: datetime) -> set[UserId]:
        """Return the users with journal entries from `since` (inclusive) to `until` (exclusive)."""

    def clean_until(self) -> datetime | None:
        """Return an instant before which no entry of any shard is missing in the views."""

    def mark_clean(self, shard: str, until: datetime) -> None:
        """Note that the views contain every entry of this shard made before `until`."""


class Reads(Protocol):
    """What clients read beside the accounts. Every call blocks; may raise StoreError."""

    def subscriptions_of(self, user_id: UserId) -> list[Document]:
        """Return all subscription documents of a user."""

    def packs_of(self, user_id: UserId) -> list[Document]:
        """Return all pack documents of a user."""

    def usage_page(self, query: UsageQuery, now: datetime | None = None) -> UsagePage:
        """Return one page of usage records; `now`: before when most of them are.

        It may have fewer than `limit`, where they are long. ValueError: the cursor is not ours.
        """

    def usage_sums(
        self, user_id: UserId, span: tuple[datetime, datetime], timezone: str
    ) -> UserUsage:
        """Return the sums over the records with a timestamp in `span` (half-open)."""

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return one page of what the views contain of a user's journal."""


class ChargedUsage(NamedTuple):
    """Whom a usage record has charged, and for which service; None: it cannot be read."""

    user_id: UserId
    service_type: str | None


class Overview(Protocol):
    """What operators read across all users. Every call blocks; may raise StoreError."""

    def owner_of(self, subscription_id: str) -> tuple[UserId, str] | None:
        """Return whose a subscription is, and its id as accounts spell it.

        None where no document has this id, or its user cannot be read.
        """

    def charged(self, usage_id: str) -> ChargedUsage | None:
        """Return what a usage record of ours charged; None where the views have none yet."""

    def subscription_page(self, query: SubscriptionPageQuery, now: datetime) -> SubscriptionPage:
        """Return one page as of `now`. ValueError: the cursor is not one of ours.

        Documents that cannot be read are passed over. With a status, so are those that have
        ended although their document does not say so yet.
        """

    def refusal_page(self, query: RefusalPageQuery, now: datetime) -> RefusalPage:
        """Return one page: requests that were refused under a key of their callers'.

        `now`: before when most of them were. ValueError: the cursor is not one of ours.
        """


class UnsuitableDatabaseError(Exception):
    """The database cannot carry the service. The message is one sentence for an operator."""

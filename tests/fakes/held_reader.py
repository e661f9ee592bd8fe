"""A reader of all accounts that waits until a test lets it go on."""

import threading
from collections.abc import Collection, Generator, Sequence
from datetime import datetime

from actors.shard.dormant import AnyRawAccount
from actors.shard.warm_start import RawPage, WarmSource
from domain.documents.recovery import Stored
from domain.values import UserId
from tests.patience import PATIENCE_SECONDS


class Held:
    """A source of pages that stops before it hands each of them on."""

    def __init__(self, source: WarmSource) -> None:
        self._source = source
        self.read_page = threading.Event()
        self.go_on = threading.Event()

    def read(self, user_id: UserId, account: AnyRawAccount) -> Stored:
        return self._source.read(user_id, account)

    def of(self, users: Sequence[UserId], now: datetime) -> dict[UserId, AnyRawAccount]:
        return self._source.of(users, now)

    def pages(self, slots: Collection[int], now: datetime) -> Generator[RawPage]:
        for page in self._source.pages(slots, now):
            self.read_page.set()
            self.go_on.wait(PATIENCE_SECONDS)
            yield page

"""A collection is read to its end, though no query asks for more than a server may answer at once."""

from typing import Any

import pymongo
import pymongo.monitoring
import pytest
from bson import ObjectId

from actors.mongo import pages
from actors.mongo.pages import pages_by_id
from tests.fakes.setups import MongoSetup

IDS = [7, 8.5, "a", "b", "c", ObjectId("65f0a1b2c3d4e5f601234567")]


class Limits(pymongo.monitoring.CommandListener):
    """Keeps how many documents were asked for."""

    def __init__(self) -> None:
        self.found: list[int] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.found.append(event.command.get("limit", 0))

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        pass


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a query ask for two documents, and a page have as many."""
    monkeypatch.setattr(pages, "DOCUMENTS_PER_QUERY", 2)
    monkeypatch.setattr(pages, "DOCUMENTS_PER_PAGE", 2)


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize("begin", range(len(IDS)))
def test_so_many_documents_come_after_one_in_the_order_of_their_ids(
    mongo: MongoSetup, begin: int, limit: int | None
) -> None:
    mongo.database.packs.insert_many([{"_id": one} for one in reversed(IDS)])

    after = IDS[begin - 1] if begin else None
    read = [one["_id"] for page in pages_by_id(mongo.database.packs, after, limit) for one in page]

    assert read == IDS[begin:][:limit]


def test_no_query_asks_for_all(embedded: MongoSetup, mongo_uri: str) -> None:
    embedded.database.packs.insert_many([{"_id": one} for one in IDS])
    limits = Limits()
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        mongo_uri, event_listeners=[limits], retryWrites=False
    )
    with client:
        packs = client[embedded.database.name].packs
        assert sum(map(len, pages_by_id(packs, None, None))) == len(IDS)

    assert set(limits.found) == {2}

"""A collection is read to its end, though no query matches more than a server may answer at once."""

from typing import Any

import pymongo
import pytest
from bson import ObjectId

from actors.mongo import pages
from actors.mongo.pages import FIRST_IDS, GROWTH, object_id, pages_by_id
from tests.fakes.setups import Filters, MongoSetup

SOON, LATER = ObjectId("65f0a1b2c3d4e5f601234567"), ObjectId("65f0a1b3c3d4e5f601234567")
AGES_AGO = [object_id(number) for number in (7, 8, 900)]
IDS = [7, 8.5, "a", "b", "c", *AGES_AGO, SOON, LATER]


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 5, 9, 11])
@pytest.mark.parametrize("begin", range(len(IDS)))
def test_so_many_documents_come_after_one_in_the_order_of_their_ids(
    mongo: MongoSetup, begin: int, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "DOCUMENTS_PER_QUERY", 2)
    monkeypatch.setattr(pages, "DOCUMENTS_PER_PAGE", 2)
    mongo.database.packs.insert_many([{"_id": one} for one in reversed(IDS)])

    after = IDS[begin - 1] if begin else None
    read = [one["_id"] for page in pages_by_id(mongo.database.packs, after, limit) for one in page]

    assert read == IDS[begin:][:limit]


@pytest.mark.parametrize("apart", [1, 2**40])
@pytest.mark.parametrize("limit", [None, 999])
def test_no_query_matches_much_more_than_it_asks_for(
    embedded: MongoSetup,
    mongo_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    limit: int | None,
    apart: int,
) -> None:
    monkeypatch.setattr(pages, "DOCUMENTS_PER_QUERY", FIRST_IDS)
    ids = [object_id(pages.number_of(SOON) + n * apart) for n in range(1_000)]
    embedded.database.packs.insert_many([{"_id": one} for one in ids])
    filters = Filters("packs")
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        mongo_uri, event_listeners=[filters], retryWrites=False
    )
    with client:
        packs = client[embedded.database.name].packs
        assert [one["_id"] for page in pages_by_id(packs, None, limit) for one in page] == ids[
            :limit
        ]

    matched = [embedded.database.packs.count_documents(one) for one in filters.found]
    assert FIRST_IDS <= max(matched) <= GROWTH * FIRST_IDS

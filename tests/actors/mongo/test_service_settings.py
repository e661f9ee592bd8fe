"""Settings of the run time in MongoDB, also where another program has written into their document."""

from typing import Any

import pytest

from actors.mongo.service_settings import MongoServiceSettings
from actors.runtime.service_settings import ServiceSettings
from tests.fakes.setups import MongoSetup

PAGE, OTHER = "https://app.example", "http://localhost:3000"


def test_settings_come_back_as_they_were_kept_last(mongo: MongoSetup) -> None:
    settings = MongoServiceSettings(mongo.database)
    before = settings.read()
    settings.keep(ServiceSettings((PAGE, OTHER)))
    settings.keep(ServiceSettings((OTHER,)))

    assert before == ServiceSettings()
    assert settings.read() == ServiceSettings((OTHER,))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, ()),
        (PAGE, ()),
        ([PAGE, "*", 7, None, {"$ne": 1}, "https://APP.example", PAGE], (PAGE,)),
        ({"0": PAGE}, ()),
    ],
    ids=str,
)
def test_what_is_no_origin_lets_no_page_call(
    mongo: MongoSetup, written: Any, read: tuple[str, ...]
) -> None:
    document = {"_id": "service", "cors_origins": written}
    mongo.database.allotment_settings.insert_one(document)

    assert MongoServiceSettings(mongo.database).read() == ServiceSettings(read)

"""Settings of the run time in MongoDB, also where another program has written into their document."""

from typing import Any

import pytest
from bson import Int64

from actors.mongo.service_settings import MongoServiceSettings
from actors.runtime.service_settings import ServiceSettings, SettingsChange
from tests.fakes.setups import MongoSetup

PAGE, OTHER = "https://app.example", "http://localhost:3000"


def test_settings_come_back_as_they_were_kept_last(mongo: MongoSetup) -> None:
    settings = MongoServiceSettings(mongo.database)
    before = settings.read()
    told = [
        settings.keep(change)
        for change in (
            SettingsChange((PAGE, OTHER)),
            SettingsChange(low_credits_percents=(20, 10, 5)),
            SettingsChange((OTHER,)),
            SettingsChange(),
        )
    ]

    assert before == ServiceSettings()
    assert told == [
        ServiceSettings((PAGE, OTHER)),
        ServiceSettings((PAGE, OTHER), (20, 10, 5)),
        ServiceSettings((OTHER,), (20, 10, 5)),
        ServiceSettings((OTHER,), (20, 10, 5)),
    ]
    assert MongoServiceSettings(mongo.database).read() == told[-1]
    assert settings.keep(SettingsChange(low_credits_percents=())) == ServiceSettings((OTHER,))


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


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, ()),
        (20, ()),
        ("20", ()),
        ([], ()),
        ([5, 0, 100, 20, 20, "10", 7.5, None, True, {"$ne": 1}], (20, 5)),
        ([Int64(10)], (10,)),
        (list(range(1, 50)), (49, 48, 47, 46, 45, 44, 43, 42)),
    ],
    ids=str,
)
def test_what_is_no_threshold_is_passed_over(
    mongo: MongoSetup, written: Any, read: tuple[int, ...]
) -> None:
    document = {"_id": "service", "low_credits_percents": written}
    mongo.database.allotment_settings.insert_one(document)

    assert MongoServiceSettings(mongo.database).read() == ServiceSettings((), read)

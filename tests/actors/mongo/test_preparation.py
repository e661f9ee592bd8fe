"""The first start in a database that belongs to an application, too; and every later one."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pymongo
import pytest
import yaml
from bson import ObjectId
from pymongo import IndexModel
from pymongo.errors import OperationFailure

from actors.mongo import indexes, steps
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from actors.mongo.preparation import prepare
from actors.mongo.stored_format import PREFIX
from actors.mongo.uri import OURS as OURS_IN_URIS
from tests.builders.databases import everything, refusal
from tests.builders.ledger import NOON
from tests.fakes.setups import Counter, in_utc
from tests.service.mongoose import subscription_document
from tests.wire.proxy import Delay, Proxy

# --- beside an application ----------------------------------------------------------------


def application(database: Documents) -> dict[str, list[Any]]:
    """Make what another program keeps in its database, and return all that is not shared."""
    database.accounts.insert_many([{"_id": i, "iban": f"DE{i}"} for i in range(20)])
    database.accounts.create_index("iban", unique=True)
    database.events.insert_many([{"type": "login", "at": NOON} for _ in range(20)])
    database.jobs.insert_one({"_id": "nightly", "revision": 3})
    database.create_collection("prices")
    theirs = everything(database)
    database.subscriptions.insert_many([subscription_document(ObjectId()) for _ in range(50)])
    database.subscriptions.create_index("user_id", name="by_user")
    database.subscriptions.create_index("plan", name="allotment of plans")
    return theirs


def any_of_ours(found: Iterable[str]) -> bool:
    """Say whether one of these indexes is named by us."""
    return any(index.startswith(PREFIX) for index in found)


def test_the_collections_and_indexes_of_an_application_are_left_alone(database: Documents) -> None:
    theirs = application(database)
    subscriptions = everything(database)["subscriptions"]

    prepare(database)

    now = everything(database)
    assert {name: now[name] for name in theirs} == theirs
    assert now["subscriptions"][0] == subscriptions[0]
    assert set(subscriptions[1]) < set(now["subscriptions"][1])


def test_what_is_made_on_collections_that_were_there_is_told(database: Documents) -> None:
    application(database)
    first: list[str] = []
    second: list[str] = []

    prepare(database, first.append)
    prepare(database, second.append)

    (told,) = first
    assert told.startswith("indexes on subscriptions: ")
    assert "allotment_status_end_date" in told
    assert "allotment_user_id" not in told  # Theirs has the same keys.
    assert second == []


def test_indexes_are_made_with_one_command_a_collection(
    database: Documents, mongo_uri: str
) -> None:
    application(database)
    counter = Counter()

    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        mongo_uri, retryWrites=False, event_listeners=[counter]
    )
    with client:
        prepare(in_utc(client, database.name))

    names = {name: found for name, (_, found) in everything(database).items()}
    given = [n for n, found in names.items() if any_of_ours(found)]
    assert counter.names.count("createIndexes") == len(given)


def test_an_index_of_the_same_keys_and_other_rules_is_no_substitute(database: Documents) -> None:
    keys = [("user_id", 1), ("timestamp", 1), ("_id", 1)]
    database.usages.create_index(keys, sparse=True, name="theirs")

    prepare(database)

    assert {"theirs", "allotment_user_id_timestamp_id"} <= set(database.usages.index_information())


def test_an_index_of_ours_that_is_of_no_use_any_more_is_dropped(database: Documents) -> None:
    keys = [("user_id", 1), ("timestamp", 1)]
    database.usages.create_index(keys, name="allotment_user_id_timestamp")
    database.usages.create_index([*keys, ("model_used", 1)], name="theirs")

    prepare(database)

    names = set(database.usages.index_information())
    assert names == {"_id_", "theirs", "allotment_user_id_timestamp_id"}


def test_a_rule_of_another_program_that_may_refuse_our_writes_is_told(database: Documents) -> None:
    database.subscriptions.create_index("user_id", unique=True)
    told: list[str] = []

    prepare(database, told.append)

    assert "subscriptions has the index user_id_1, which may refuse what Allotment writes" in told


def test_what_does_not_let_an_index_be_made_is_named(database: Documents) -> None:
    day = {"subscription_id": ObjectId(), "date": NOON}
    database.dailycredits.insert_many([{**day}, {**day}])

    sentence = refusal(database)

    assert "dailycredits cannot have the indexes allotment_subscription_id_date" in sentence
    assert "dup key" in sentence


def test_a_name_of_ours_that_another_program_uses_is_named(database: Documents) -> None:
    database.usages.create_index("model_used", name="allotment_user_id_timestamp_id")

    assert "usages cannot have the indexes allotment_user_id_timestamp_id" in refusal(database)


class SaysItIsThere:
    """A database whose server knows an index under another name, and refuses ours for it."""

    def __init__(self, database: Documents, keys: list[tuple[str, int]]) -> None:
        self._database = database
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def __getitem__(self, name: str) -> Any:
        return RefusingCollection(self._database[name], dict(self._keys))


class RefusingCollection:
    def __init__(self, collection: Any, keys: dict[str, int]) -> None:
        self._collection = collection
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def create_indexes(self, models: list[IndexModel]) -> Any:
        if any(model.document["key"] == self._keys for model in models):
            raise OperationFailure("Index already exists with a different name", 85)
        return self._collection.create_indexes(models)


def test_an_index_that_is_there_under_another_name_is_no_failure(database: Documents) -> None:
    database.subscriptions.insert_one(subscription_document(ObjectId()))
    refusing: Any = SaysItIsThere(database, [("status", 1), ("end_date", 1)])

    indexes.make_indexes(refusing, print, embedded=False)

    made = set(database.subscriptions.index_information())
    assert {"allotment_user_id", "allotment_status_id", "allotment_stripe_customer_id"} <= made
    assert "allotment_status_end_date" not in made


def test_a_build_that_takes_long_tells_that_it_goes_on(
    database: Documents, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "TELL_SECONDS", 0.01)
    told: list[str] = []
    database.usages.insert_one({"user_id": "ada", "timestamp": NOON})
    served = connect(proxy.uri, database.name)
    slow = proxy.on("createIndexes", Delay(0.5), where=lambda c: c["createIndexes"] == "usages")

    prepare(served, told.append)

    assert slow.met == 1
    assert any("usages" in line and "s so far)" in line for line in told)
    served.client.close()


def test_a_build_that_takes_longer_than_any_answer_is_waited_for(
    database: Documents, proxy: Proxy
) -> None:
    application(database)
    hasty = connect(proxy.uri, database.name, socket_seconds=0.5)
    slow = proxy.on(
        "createIndexes", Delay(1.5), where=lambda c: c["createIndexes"] == "subscriptions"
    )

    prepare(hasty)

    assert slow.met == 1
    assert len(proxy.commands("createIndexes")) == len(
        [name for name, (_, found) in everything(database).items() if any_of_ours(found)]
    )
    hasty.client.close()


# --- what the documentation says ------------------------------------------------------------

PAGE = (Path(__file__).parents[3] / "docs" / "mongodb.md").read_text()


def test_the_indexes_that_are_told_to_be_made_beforehand_are_all_that_is_missing(
    database: Documents,
) -> None:
    (block,) = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
    for name, arguments in re.findall(r"db\.(\w+)\.createIndex(?:es)?\((.*)\)\n", block):
        keys, *rules = yaml.safe_load(f"[{arguments}]")
        for one in keys if isinstance(keys, list) else [keys]:
            database[name].create_index(list(one.items()), **(rules[0] if rules else {}))
    made = {name: found for name, (_, found) in everything(database).items()}

    indexes.make_indexes(database, print, embedded=False)

    now = {name: found for name, (_, found) in everything(database).items()}
    assert set(made) == {"subscriptions", "dailycredits", "packs", "usages"}
    assert {name: now[name] for name in made} == made


@pytest.mark.parametrize("name", OURS_IN_URIS)
def test_every_option_that_is_refused_is_named_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE or name == "j"

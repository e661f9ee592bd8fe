"""The MongoDB that fails as real ones do: it does what its rules say, and nothing else."""

from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.errors import AutoReconnect, NotPrimaryError, OperationFailure

from tests.builders.embedded_server import client_of
from tests.wire.answers import TRANSIENT, refusal
from tests.wire.proxy import Answer, Close, Delay, ForwardThenAnswer, ForwardThenClose, Proxy
from tests.wire.replica_set import ReplicaSet

Collection = pymongo.collection.Collection[dict[str, Any]]


@pytest.fixture
def things(proxy: Proxy) -> Iterator[Collection]:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(proxy.uri, retryWrites=False)
    things = client["test-wire"].things
    things.delete_many({})
    yield things
    client.close()


def test_a_rule_answers_in_place_of_the_server(proxy: Proxy, things: Collection) -> None:
    proxy.on("insert", Answer(refusal(112, TRANSIENT)))

    with pytest.raises(OperationFailure) as refused:
        things.insert_one({"_id": 1})
    things.insert_one({"_id": 1})

    assert refused.value.code == 112
    assert refused.value.has_error_label(TRANSIENT)


def test_a_command_may_be_done_and_its_answer_be_another_or_none(
    proxy: Proxy, things: Collection
) -> None:
    proxy.on("insert", ForwardThenAnswer(refusal(50)))
    proxy.on("insert", ForwardThenClose())
    proxy.on("insert", Close())

    with pytest.raises(OperationFailure):
        things.insert_one({"_id": 1})
    for number in (2, 3):
        with pytest.raises(AutoReconnect):
            things.insert_one({"_id": number})

    assert [thing["_id"] for thing in things.find()] == [1, 2]


def test_rules_are_for_the_commands_they_name(proxy: Proxy, things: Collection) -> None:
    rule = proxy.on("insert", Delay(0.0), where=lambda c: c["documents"][0]["_id"] == 2)

    things.insert_many([{"_id": 1}])
    things.insert_many([{"_id": 2}])

    assert rule.met == 1
    assert len(proxy.commands("insert")) == 2


def test_a_set_has_one_primary_which_changes(replica_set: ReplicaSet) -> None:
    with client_of(replica_set.uri) as client:
        things = client["test-wire"].things
        things.delete_many({})
        replica_set.elect(1)
        with pytest.raises(NotPrimaryError):
            things.insert_one({"_id": 1})
        things.insert_one({"_id": 2})

        assert [thing["_id"] for thing in things.find()] == [2]
        assert client.primary == ("127.0.0.1", replica_set.members[1].port)


def test_what_no_majority_has_confirmed_can_be_rolled_back(replica_set: ReplicaSet) -> None:
    with client_of(replica_set.uri) as client:
        things = client["test-wire"].things
        things.delete_many({})
        things.insert_one({"_id": 1})
        with replica_set.stalled(), pytest.raises(pymongo.errors.WTimeoutError):
            things.insert_one({"_id": 2})
        assert things.count_documents({}) == 2

        replica_set.roll_back()

        assert [thing["_id"] for thing in things.find()] == [1]

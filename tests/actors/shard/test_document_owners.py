"""Whose a document was, when only its id is left."""

import pytest

from actors.shard import document_owners as owners_module
from actors.shard.document_owners import DocumentOwners
from domain.values import UserId, owned_id
from tests.builders.authors import NOON

ANN, BOB = UserId("ann"), UserId("bob")
FOREIGN = "65f0a1b2c3d4e5f601234501"


def test_ids_of_ours_are_known_without_having_been_seen() -> None:
    owners = DocumentOwners()
    owners.learn(ANN, [])

    assert owners.of(owned_id(NOON, ANN, "00000001")) == {ANN}
    assert owners.of(owned_id(NOON, BOB, "00000001")) == set()


def test_ids_of_others_are_known_once_seen() -> None:
    owners = DocumentOwners()
    owners.learn(ANN, [FOREIGN, "a text", "7"])

    assert [owners.of(i) for i in (FOREIGN, "a text", "7", "8")] == [{ANN}, {ANN}, {ANN}, set()]


def test_what_was_forgotten_or_is_no_longer_there_is_not_known() -> None:
    owners = DocumentOwners()
    owners.learn(ANN, [FOREIGN])
    owners.learn(ANN, ["another"])
    assert owners.of(FOREIGN) == set()

    owners.forget(ANN)
    owners.forget(ANN)

    assert owners.of("another") == owners.of(owned_id(NOON, ANN, "00000001")) == set()


def test_users_that_share_a_mark_are_both_found_and_forgotten_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owners_module, "owner_mark", lambda _: "0000002a")
    owners = DocumentOwners()
    ours = "0" * 8 + "0000002a" + "0" * 8
    owners.learn(ANN, [ours])
    owners.learn(BOB, [ours])
    assert owners.of(ours) == {ANN, BOB}

    owners.forget(ANN)

    assert owners.of(ours) == {BOB}

"""Ids, instants and the little sums that everything else is made of."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.values import (
    UserId,
    derive_object_id,
    derive_owned_id,
    is_object_id,
    mark_of,
    owner_mark,
    parse_user_id,
    to_instant,
)
from tests.builders.ledger import NOON, USER

HEX = "65a1B2c3D4e5F60718293A4b"


@pytest.mark.parametrize("text", ["a", "ada@example.org", "x" * 128, "Ωmega", "😀", HEX[:-1]])
def test_a_user_id_of_printable_characters_stays_as_it_is(text: str) -> None:
    assert parse_user_id(text) == text


def test_a_user_id_of_24_hex_digits_is_the_object_id_it_spells() -> None:
    assert parse_user_id(HEX) == HEX.lower()
    assert is_object_id(HEX)
    assert is_object_id(parse_user_id(HEX))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 129, id="too long"),
        pytest.param("a b", id="space"),
        pytest.param("a\u00a0b", id="no-break space"),
        pytest.param("a\u3000b", id="ideographic space"),
        pytest.param("a\tb", id="tab"),
        pytest.param("ada\n", id="line feed"),
        pytest.param("a\0", id="NUL"),
        pytest.param("a\x7f", id="delete"),
        pytest.param("a\u202eb", id="turned writing direction"),
        pytest.param("a\ud800", id="lone surrogate"),
    ],
)
def test_a_user_id_that_cannot_be_printed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a user id has"):
        parse_user_id(text)


@pytest.mark.parametrize("text", [HEX + "0", HEX[:-1], HEX[:-1] + "g", HEX[:-1] + "\n", ""])
def test_only_24_hex_digits_are_an_object_id(text: str) -> None:
    assert not is_object_id(text)


def test_an_instant_is_utc_and_cut_to_milliseconds() -> None:
    local = datetime(2026, 3, 2, 13, 0, 0, 123_999, timezone(timedelta(hours=1)))

    assert to_instant(local) == datetime(2026, 3, 2, 12, 0, 0, 123_000, UTC)
    assert to_instant(local).tzinfo is UTC


def test_a_derived_id_begins_with_its_second_and_repeats_for_the_same_command() -> None:
    first = derive_object_id(NOON, "usage", USER, "key")

    assert is_object_id(first)
    assert int(first[:8], 16) == int(NOON.timestamp())
    assert first == derive_object_id(NOON, "usage", USER, "key")


def test_derived_ids_differ_by_purpose_user_and_key() -> None:
    ids = {
        derive_object_id(NOON, purpose, user, key)
        for purpose in ("usage", "grant")
        for user in (USER, UserId("bob"))
        for key in ("key", "another key")
    }

    assert len(ids) == 8


def test_an_owned_id_carries_the_mark_of_its_user() -> None:
    day = derive_owned_id(NOON, "day", USER, "s-1")

    assert is_object_id(day)
    assert day == derive_owned_id(NOON, "day", USER, "s-1")
    assert mark_of(day) == owner_mark(USER) != owner_mark(UserId("bob"))
    assert day != derive_owned_id(NOON, "day", USER, "s-2")


@given(st.text(min_size=1, max_size=140))
def test_a_parsed_user_id_parses_to_itself(text: str) -> None:
    try:
        user_id = parse_user_id(text)
    except ValueError:
        return

    assert parse_user_id(user_id) == user_id
    assert user_id.lower() == text.lower()

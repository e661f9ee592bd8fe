"""`details` hold any JSON object that MongoDB can keep, up to a size and a depth."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.api.details import DETAILS_BYTES_MAX, DETAILS_DEPTH_MAX, INT64_MAX
from domain.api.requests import RecordUsageBody

USAGE = {"user_id": "ada", "service_type": "chat", "credit_amount": 5}


def details(value: object) -> dict[str, Any] | None:
    return RecordUsageBody.model_validate(USAGE | {"details": value}).details


def reason(value: object) -> str:
    with pytest.raises(ValidationError) as error:
        details(value)
    assert error.value.errors()[0]["loc"][0] == "details"
    return str(error.value)


def nested(depth: int, innermost: object) -> dict[str, Any]:
    """Nest so many objects, the innermost of which holds a value."""
    value: dict[str, Any] = {"a": innermost}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def sized(size: int, letter: str = "x") -> dict[str, Any]:
    """Make details of so many bytes as JSON."""
    frame = len(json.dumps({"a": ""}))
    return {"a": letter * ((size - frame) // len(letter.encode()))}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": None, "b": True, "c": [1, -2.5, "é😀"], "d": {"": []}},
        {"largest": INT64_MAX, "smallest": -INT64_MAX},
        {"$where": 1, "a.b": 2},
        {"line": "a\nb\tc"},
    ],
)
def test_a_json_object_is_kept_as_it_is(value: dict[str, Any]) -> None:
    assert details(value) == value


def test_no_details_are_no_details() -> None:
    assert details(None) is None


def test_details_have_at_most_16_kib_as_json() -> None:
    assert details(sized(DETAILS_BYTES_MAX)) == sized(DETAILS_BYTES_MAX)
    assert "at most 16384 bytes" in reason(sized(DETAILS_BYTES_MAX + 1))


def test_bytes_are_counted_as_they_are_sent_not_as_characters() -> None:
    assert len(details(sized(DETAILS_BYTES_MAX, "€")) or {}) == 1
    assert "at most 16384 bytes" in reason(sized(DETAILS_BYTES_MAX + 3, "€"))


@pytest.mark.parametrize("innermost", [1, "a", None])
def test_details_are_nested_at_most_32_deep(innermost: object) -> None:
    deepest = nested(DETAILS_DEPTH_MAX, innermost)

    assert details(deepest) == deepest
    assert "at most 32 deep" in reason(nested(DETAILS_DEPTH_MAX + 1, innermost))


@pytest.mark.parametrize("container", [{}, []])
def test_empty_objects_and_lists_are_as_deep_as_full_ones(container: object) -> None:
    assert details(nested(DETAILS_DEPTH_MAX - 1, container)) is not None
    assert "at most 32 deep" in reason(nested(DETAILS_DEPTH_MAX, container))


def test_details_nested_without_end_are_refused_not_followed() -> None:
    assert "at most 32 deep" in reason(nested(150, 1))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param({"a": float("nan")}, "finite", id="not a number"),
        pytest.param({"a": [float("inf")]}, "finite", id="infinite"),
        pytest.param({"a": -float("inf")}, "finite", id="minus infinite"),
        pytest.param({"a": 2**63}, "64 bits", id="big int"),
        pytest.param({"a": {"b": -(2**70)}}, "64 bits", id="very small int"),
        pytest.param({"a": "x\0"}, "NUL", id="NUL in a value"),
        pytest.param({"x\0": 1}, "NUL", id="NUL in a name"),
        pytest.param({"a": ["\ud800"]}, "lone surrogates", id="lone surrogate in a value"),
        pytest.param({"\udfff": 1}, "lone surrogates", id="lone surrogate in a name"),
        pytest.param({"a": {1, 2}}, "JSON object", id="set"),
        pytest.param({"a": b"x"}, "JSON object", id="bytes"),
    ],
)
def test_what_mongodb_cannot_keep_or_json_cannot_say_is_refused(value: object, told: str) -> None:
    assert told in reason(value)


@pytest.mark.parametrize("value", [[], "a", 1, True, [["a", 1]]])
def test_details_are_an_object(value: object) -> None:
    assert reason(value)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-INT64_MAX, INT64_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_accepted_reads_back_from_its_command(value: dict[str, Any]) -> None:
    command = RecordUsageBody.model_validate(USAGE | {"details": value}).command()

    assert json.loads(command.details or "null") == value

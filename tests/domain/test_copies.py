"""Copies with changed fields: as `dataclasses.replace` makes them, for every value of the domain."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import domain
from domain.copies import replace


def values() -> Iterator[type]:
    """Yield every frozen dataclass of the domain."""
    for module in pkgutil.walk_packages(domain.__path__, "domain."):
        for found in vars(importlib.import_module(module.name)).values():
            if not isinstance(found, type) or found.__module__ != module.name:
                continue
            if hasattr(found, "__dataclass_fields__") and hasattr(found, "__slots__"):
                yield found


VALUES = list(values())


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: str(kind.__qualname__))
def test_a_copy_has_the_fields_of_its_original_but_for_those_that_change(kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    original = kind(**{name: f"old {name}" for name in names})

    for name in names:
        copy = replace(original, **{name: "new"})
        assert copy == dataclasses.replace(original, **{name: "new"})
        assert copy is not original
    assert replace(original) == original


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: str(kind.__qualname__))
def test_nothing_is_worked_out_when_a_value_is_made(kind: type) -> None:
    assert not hasattr(kind, "__post_init__"), "a copy would not have it worked out"
    assert all(field.init for field in dataclasses.fields(kind))


@dataclass(frozen=True, slots=True)
class One:
    value: int


def test_a_value_of_one_field_is_copied_too() -> None:
    assert replace(One(1), value=2) == One(2)
    assert replace(One(1)) == One(1)


def test_a_field_that_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(KeyError):
        replace(One(1), other=2)  # type: ignore[call-arg]

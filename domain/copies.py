"""Copies of values with some of their fields changed, fast: every charge makes four."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # It takes what that takes, and is checked as that is.
    from dataclasses import replace as replace  # noqa: PLC0414 - for those who import it here
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """Return a copy of a value with some fields changed, as `dataclasses.replace` does.

        In half its time, for the domain's values: their fields are slots, and nothing is worked
        out when one is made. KeyError: there is no such field.
        """
        kind = value.__class__
        read, setters, by_name = access_to(kind)
        copy = object.__new__(kind)
        for set_field, held in zip(setters, read(value)):  # noqa: B905 - as many, by construction
            set_field(copy, held)
        for name, changed in changes.items():
            by_name[name](copy, changed)
        return copy


class Access(NamedTuple):
    """What reads all fields of a kind of value, in order, and what sets each."""

    read: Callable[[Any], tuple[Any, ...]]
    setters: tuple[Callable[[Any, Any], None], ...]
    by_name: dict[str, Callable[[Any, Any], None]]


@cache
def access_to(kind: type[Any]) -> Access:
    """Return how the fields of a kind of value are read and set: they are slots."""
    names = [field.name for field in fields(kind)]
    by_name = {name: getattr(kind, name).__set__ for name in names}
    # Named twice, else it would return the one field of a kind that has no other, and no tuple.
    read = attrgetter(*names, names[0])
    return Access(read, tuple(by_name.values()), by_name)

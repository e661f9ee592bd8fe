"""A change of our own code that the simulation must notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in a module, before anything imports it."""

    name: str
    module: str
    old: str
    new: str
    stands_for: str

"""What a target is."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Target(NamedTuple):
    """One kind of input, and the code that reads it."""

    name: str
    examples: Callable[[], Sequence[bytes]]
    """Inputs to begin with, made by our own code."""
    run: Callable[[bytes], None]
    """Reads an input. Whatever it raises is a finding."""

"""What holds for all tests. Ray reads its environment when it is imported: it is set here."""

import gc
import os

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import tests.seeds  # noqa: F401  drawn once, before processes share the work
from tests.units_of_work import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]

pytest_plugins = ["tests.leaks"]


gc.disable()  # What is imported and collected stays: half a million objects that it would look at.


def pytest_collection_finish() -> None:
    """Collect garbage from now on, and only what tests leave."""
    gc.freeze()
    gc.enable()

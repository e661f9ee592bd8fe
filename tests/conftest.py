"""What holds for all tests. Ray reads its environment when it is imported: it is set here."""

import os

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import tests.seeds  # noqa: F401  drawn once, before processes share the work
from tests.units_of_work import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]

pytest_plugins = ["tests.leaks"]

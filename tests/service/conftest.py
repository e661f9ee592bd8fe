"""One running service for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.running import RunningService


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    directory: Path = tmp_path_factory.mktemp("service")
    with RunningService(directory, ALLOTMENT_SHARDS="2") as running:
        yield running


@pytest.fixture(scope="session")
def http(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client

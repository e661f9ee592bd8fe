"""One running service for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.running import RunningService

SECRET = "the application's secret, long enough"  # Signs tokens for the rehearsal.


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    directory: Path = tmp_path_factory.mktemp("service")
    with RunningService(directory, ALLOTMENT_SHARDS="2") as running:
        yield running


@pytest.fixture(scope="session")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Run a service whose clock may be set, and that takes users' tokens."""
    settings = {
        "ALLOTMENT_SHARDS": "2",
        "ALLOTMENT_TEST_CLOCK": "1",
        "ALLOTMENT_JWT_SECRET": SECRET,
        "ALLOTMENT_JWT_ISSUER": "https://id.example",
        "ALLOTMENT_JWT_AUDIENCE": "credits",
        "ALLOTMENT_RATE_LIMIT_REQUESTS": "100000",
    }
    with RunningService(tmp_path_factory.mktemp("rehearsal"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def http(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client

"""On which addresses a running service listens: on loopback, with all its processes."""

import ipaddress
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.openness import Listener, address_of, is_loopback, listeners
from tests.service.running import RunningService, wait_until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells who listens"),
]


@pytest.mark.parametrize(
    ("shown", "address", "loopback"),
    [
        ("0100007F", "127.0.0.1", True),
        ("00000000", "0.0.0.0", False),
        ("020200C0", "192.0.2.2", False),
        ("00000000000000000000000001000000", "::1", True),
        ("00000000000000000000000000000000", "::", False),
        ("0000000000000000FFFF00000100007F", "::ffff:127.0.0.1", True),
        ("0000000000000000FFFF0000020200C0", "::ffff:192.0.2.2", False),
    ],
)
def test_addresses_are_read_as_linux_shows_them(
    shown: str, address: str, *, loopback: bool
) -> None:
    read = address_of(shown)

    assert ipaddress.ip_address(read) == ipaddress.ip_address(address)
    assert is_loopback(read) is loopback


@pytest.mark.parametrize("name", ["service", "rehearsal"])
def test_everything_listens_on_loopback(name: str, request: pytest.FixtureRequest) -> None:
    running: RunningService = request.getfixturevalue(name)
    wait_until(lambda: knows_all(running, listeners(running)), PATIENCE_SECONDS)

    found = listeners(running)

    assert sorted(place for place in found if not is_loopback(place.address)) == []


def knows_all(running: RunningService, found: set[Listener]) -> bool:
    """Whether all kinds of processes are seen: HAProxy is replaced now and then."""
    programs = " ".join(place.program for place in found)
    kinds = ("gcs_server", "raylet", "haproxy", "ShardActor", "ServeReplica", "dashboard")
    return all(kind in programs for kind in kinds) and any(
        place.port == running.port for place in found
    )


def test_shards_and_the_cluster_are_found_on_loopback(service: RunningService) -> None:
    assert service.ray_address.startswith("127.0.0.1:")

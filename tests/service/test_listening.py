"""On which addresses a running service listens: on loopback, with all its processes."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.processes import all_pids, open_files
from tests.service.running import RunningService, wait_until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells who listens"),
]

LISTENING = "0A"


class Listener(NamedTuple):
    """A socket on which a process waits for connections."""

    address: str
    port: int
    program: str


def listeners(service: RunningService) -> set[Listener]:
    """Return where the processes of a service listen."""
    bound = {inode: place for table in ("tcp", "tcp6") for inode, place in listening(table)}
    return {
        Listener(*bound[name[8:-1]], program(pid))
        for pid in all_pids(service)
        for name in open_files(pid)
        if name.startswith("socket:[") and name[8:-1] in bound
    }


def listening(table: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield the inode, the address and the port of each socket that listens."""
    for line in Path("/proc/net", table).read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTENING:
            address, _, port = fields[1].partition(":")
            yield fields[9], (address_of(address), int(port, 16))


def address_of(text: str) -> str:
    """Return an address that Linux shows as words of four bytes, each in the machine's order."""
    words = (int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8))
    return str(ipaddress.ip_address(b"".join(words)))


def program(pid: int) -> str:
    """Return what a process is, briefly."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "has ended"
    return " ".join(Path(word.decode()).name for word in words[:3])


def is_loopback(address: str) -> bool:
    """Whether only programs of this machine come to an address."""
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


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

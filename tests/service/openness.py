"""What other users of the machine could open of a running service: files, Unix sockets, ports."""

import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.service.processes import all_pids, open_files
from tests.service.running import RunningService

CODE = Path(__file__).parents[2]
OF_THE_KERNEL = Path("/proc"), Path("/sys")  # Ray reads there what a machine has left.
LISTENING = "0A"
ACCEPTS = 0x10000  # Among the flags of a Unix socket: it listens.
DATAGRAMS = "0002"  # The type of one that takes them without.
OTHERS = stat.S_IRWXG | stat.S_IRWXO


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


def sockets(pids: set[int]) -> Iterator[Path]:
    """Yield the paths of the Unix sockets on which processes take connections or datagrams."""
    ours = {name[8:-1] for pid in pids for name in open_files(pid) if name.startswith("socket:[")}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        hears = int(fields[3], 16) & ACCEPTS or fields[4] == DATAGRAMS
        if hears and fields[6] in ours and len(fields) > 7:
            yield Path(fields[7])


def written(pids: set[int]) -> Iterator[Path]:
    """Yield the files that processes have open, but for code, devices, what is deleted, and the kernel's."""
    for pid in pids:
        for path in map(Path, open_files(pid)):
            if path.is_file() and not any(map(path.is_relative_to, (CODE, *OF_THE_KERNEL))):
                yield path


def open_to_others(path: Path) -> bool:
    """Whether other users come to a file or a socket, by the modes of its folders."""
    return all(folder.stat().st_mode & OTHERS for folder in path.parents if folder != Path("/"))

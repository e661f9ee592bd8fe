"""A machine with other users: what they can open of a running service's files and sockets."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.processes import all_pids, open_files
from tests.service.running import RunningService, wait_until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="Linux tells what is open"),
]

CODE = Path(__file__).parents[2]
KNOWN = {"raylet", "plasma_store", "s"}  # The last is HAProxy's, except while that is replaced.
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@pytest.fixture(params=["service", "rehearsal"])
def running(request: pytest.FixtureRequest) -> RunningService:
    """Return a service: one whose sockets lie elsewhere, and one with all in its data directory."""
    found: RunningService = request.getfixturevalue(request.param)
    return found


def sockets(pids: set[int]) -> Iterator[Path]:
    """Yield the paths of the Unix sockets on which processes listen."""
    ours = {name[8:-1] for pid in pids for name in open_files(pid) if name.startswith("socket:[")}
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in ours and len(fields) > 7:
            yield Path(fields[7])


def written(pids: set[int]) -> Iterator[Path]:
    """Yield the files that processes have open, but for code, devices and what is deleted."""
    for pid in pids:
        for path in map(Path, open_files(pid)):
            if path.is_file() and not path.is_relative_to(CODE):
                yield path


def names(paths: Iterator[Path]) -> set[str]:
    """Return what sockets are called, without the process that HAProxy adds."""
    return {path.name.partition(".")[0] for path in paths}


def open_to_others(path: Path) -> bool:
    """Whether other users come to a file or a socket, by the modes of its folders."""
    return all(folder.stat().st_mode & OTHERS for folder in path.parents if folder != Path("/"))


def test_no_other_user_comes_to_its_sockets_and_files(running: RunningService) -> None:
    wait_until(lambda: names(sockets(all_pids(running))) >= KNOWN, PATIENCE_SECONDS)
    pids = all_pids(running)

    listening, files = set(sockets(pids)), set(written(pids))

    assert any(path.suffix in {".log", ".out", ".err"} for path in files)
    assert [path for path in listening | files if open_to_others(path)] == []


def test_its_data_directory_and_rays_token_are_its_owners_alone(running: RunningService) -> None:
    token = Path.home() / ".ray" / "auth_token"

    assert stat.S_IMODE(running.data_dir.stat().st_mode) == 0o700
    assert not token.exists() or stat.S_IMODE(token.stat().st_mode) == 0o600


def test_what_is_in_a_data_directory_with_a_short_path_stays_there(
    rehearsal: RunningService,
) -> None:
    pids = all_pids(rehearsal)

    elsewhere = [
        path
        for path in {*sockets(pids), *written(pids)}
        if not path.is_relative_to(rehearsal.data_dir)
    ]

    assert elsewhere == []

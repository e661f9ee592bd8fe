"""A machine with other users: what they can open of a running service's files and sockets."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.service.openness import open_to_others, sockets, written
from tests.service.processes import all_pids
from tests.service.running import RunningService, wait_until

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="Linux tells what is open"),
]

KNOWN = {"raylet", "plasma_store", "s"}  # The last is HAProxy's, except while that is replaced.


@pytest.fixture(params=["service", "rehearsal"])
def running(request: pytest.FixtureRequest) -> RunningService:
    """Return a service: one whose sockets lie elsewhere, and one with all in its data directory."""
    found: RunningService = request.getfixturevalue(request.param)
    return found


def names(paths: Iterator[Path]) -> set[str]:
    """Return what sockets are called, without the process that HAProxy adds."""
    return {path.name.partition(".")[0] for path in paths}


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

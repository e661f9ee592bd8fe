"""Folders that nobody but their owner enters: a machine may have other users.

Ray makes its folders, sockets and logs open to everybody, whatever the umask. So they lie in a folder
that is not. A Unix socket's path has at most 107 bytes: where the data directory's path is too long
for that, this is a folder of the system's temporary directory, under a name that nobody can guess.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from actors.remote.environment import HAPROXY_SOCKET
from actors.remote.start_steps import CannotStartError

OWNER_ONLY = 0o700
SOCKET_PATH_BYTES_MAX = 103 if sys.platform == "darwin" else 107
RAY = "ray"
"""The folder of Ray in that of a run. Ray opens it to everybody, so it is not that one itself."""
RAYS_SOCKET = f"{RAY}/session_2026-11-28_18-49-10_123456_4194304/sockets/dash_TaskEventsHead"
HAPROXYS_SOCKET = f"{'0' * 56}/{HAPROXY_SOCKET}.4194304.tmp"
SOCKET_BYTES_MAX = max(len(RAYS_SOCKET), len(HAPROXYS_SOCKET)) + len("/")
TEMPORARY = "allotment-"  # How the names of folders outside of the data directory begin.
REMOVING_SECONDS_MAX = 3.0
POLL_SECONDS = 0.1
OURS = ("lock", "mongo")
"""What a data directory holds, and a folder that was named by mistake does not."""


def make_private(path: Path) -> None:
    """Make a directory that only its owner enters, or make the one that is there such a one.

    Raises CannotStartError: it is another user's, or it is open to others and not known as ours.
    """
    path.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise CannotStartError(f"The data directory {path} belongs to another user.")
    if not stat.S_IMODE(found.st_mode) & ~OWNER_ONLY:
        return
    if any(path.iterdir()) and not any((path / name).exists() for name in OURS):
        raise CannotStartError(
            f"The data directory {path} is open to other users and holds files of other programs: "
            f"set ALLOTMENT_DATA_DIR to one of its own."
        )
    path.chmod(OWNER_ONLY)


def keep_token() -> None:
    """Have Ray's token, by which code may be run in the cluster, be its owner's alone to read."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    if path.is_file() and path.stat().st_uid == os.geteuid():
        path.chmod(0o600)


@contextlib.contextmanager
def run_folder(directory: Path) -> Iterator[Path]:
    """Yield a private folder for the sockets and logs of one run; `directory` is the data directory.

    It is `run` there, and stays as `run.before` through the next run; or `run` is a link to it, and
    it is removed at the end. Raises CannotStartError.
    """
    run = directory / "run"
    remove_temporary(run)
    if run.exists():
        before = directory / "run.before"
        shutil.rmtree(before, ignore_errors=True)
        run.rename(before)
    if fits(run):
        run.mkdir(mode=OWNER_ONLY)
        yield run
        return
    folder = temporary_folder()
    run.symlink_to(folder)
    try:
        yield folder
    finally:
        remove_temporary(run)


def fits(folder: Path) -> bool:
    """Whether the sockets of a run may lie in it."""
    return len(os.fsencode(folder)) + SOCKET_BYTES_MAX <= SOCKET_PATH_BYTES_MAX


def temporary_folder() -> Path:
    """Make a private folder whose path is short enough. Raises CannotStartError."""
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - the name is random
        if fits(parent / f"{TEMPORARY}12345678"):
            return Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=parent))  # Its mode is 0700.
    raise CannotStartError("No path is short enough for sockets: set TMPDIR to a shorter one.")


def remove_temporary(link: Path) -> None:
    """Remove a link and the folder that it names, once those who still write to it have ended."""
    if not link.is_symlink():
        return
    folder = link.readlink()
    link.unlink()
    if not folder.name.startswith(TEMPORARY) or not is_ours(folder):
        return
    deadline = time.monotonic() + REMOVING_SECONDS_MAX
    shutil.rmtree(folder, ignore_errors=True)
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def is_ours(folder: Path) -> bool:
    """Whether it is there, and of our user."""
    return folder.is_dir() and folder.stat().st_uid == os.geteuid()

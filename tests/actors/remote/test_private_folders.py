"""A machine with other users: what they may not enter, and what of theirs is not used."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.launch import data_directory
from actors.remote import private_folders
from actors.remote.private_folders import SOCKET_PATH_BYTES_MAX, make_private, run_folder
from actors.remote.start_steps import CannotStartError
from actors.settings import Settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all files be another user's than the one we run as."""
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a data directory whose path is short enough for sockets."""
    monkeypatch.setattr(private_folders, "SOCKET_PATH_BYTES_MAX", 4_096)
    return tmp_path


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a data directory whose path is too long; temporary folders are in a short one."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    directory = tmp_path / ("x" * SOCKET_PATH_BYTES_MAX)
    directory.mkdir()
    return directory


@pytest.mark.parametrize("known", ["lock", "mongo"])
@pytest.mark.parametrize("before", [0o755, 0o777, 0o750, 0o701])
def test_a_data_directory_of_before_is_made_private(
    tmp_path: Path, before: int, known: str
) -> None:
    (tmp_path / known).touch()
    tmp_path.chmod(before)

    with data_directory(Settings(data_dir=tmp_path)):
        assert mode(tmp_path) == 0o700


def test_a_new_one_is_private_from_the_start(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")

    assert mode(tmp_path / "a" / "b") == 0o700


def test_an_empty_one_is_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    make_private(tmp_path)

    assert mode(tmp_path) == 0o700


def test_another_users_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_another_user(monkeypatch)

    with (
        pytest.raises(CannotStartError, match="belongs to another user"),
        data_directory(Settings(data_dir=tmp_path)),
    ):
        pytest.fail("it is not used")


def test_a_folder_of_other_programs_is_not_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "their file").touch()
    tmp_path.chmod(0o777)

    with pytest.raises(CannotStartError, match="holds files of other programs"):
        make_private(tmp_path)

    assert mode(tmp_path) == 0o777


def test_a_run_has_its_folder_in_the_data_directory(short: Path) -> None:
    with run_folder(short) as folder:
        (folder / "log").write_text("first")

        assert (folder, mode(folder)) == (short / "run", 0o700)


def test_logs_stay_through_the_next_run_and_no_longer(short: Path) -> None:
    for run in ("first", "second", "third"):
        with run_folder(short) as folder:
            assert list(folder.iterdir()) == []
            (folder / run).touch()

    assert sorted(path.name for path in short.glob("run*/*")) == ["second", "third"]


def test_where_the_path_is_too_long_the_folder_is_private_elsewhere_and_removed(
    long: Path,
) -> None:
    with run_folder(long) as folder:
        (folder / "log").touch()

        assert private_folders.fits(folder)
        assert mode(folder) == 0o700
        assert (long / "run").readlink() == folder

    assert not folder.exists()
    assert list(long.iterdir()) == []


def test_the_next_run_removes_what_a_killed_one_left(long: Path) -> None:
    killed = run_folder(long)
    left = killed.__enter__()  # Nobody leaves it.

    with run_folder(long) as folder:
        assert folder != left
        assert not left.exists()


@pytest.mark.parametrize("spoil", [of_another_user, None])
def test_a_link_that_names_what_is_not_ours_removes_nothing(
    long: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[pytest.MonkeyPatch], None] | None,
) -> None:
    named = tmp_path / ("allotment-12345678" if spoil else "home")
    named.mkdir()
    (long / "run").symlink_to(named)
    if spoil:
        spoil(monkeypatch)

    private_folders.remove_temporary(long / "run")

    assert named.is_dir()


@pytest.mark.parametrize(("length", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_longest_socket_has_room(length: int, *, fits: bool) -> None:
    room = SOCKET_PATH_BYTES_MAX - private_folders.SOCKET_BYTES_MAX

    assert private_folders.fits(Path("/" + "x" * (room - 1 + length))) is fits


@pytest.mark.parametrize("named", [True, False])
def test_rays_token_becomes_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("0" * 64)
    token.chmod(0o644)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    if named:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))

    private_folders.keep_token()

    assert mode(token) == 0o600

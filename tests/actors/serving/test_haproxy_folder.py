"""The folder of HAProxy's configuration and sockets: only its owner's, or HAProxy is not started."""

import os
from pathlib import Path

import pytest

from bench.haproxy import write_configuration
from tests.fakes.haproxy import guard, run_guard


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what Serve writes, before it is guarded."""
    return write_configuration(tmp_path_factory.mktemp("serve"), 8000, 30_000).read_text()


@pytest.mark.parametrize("writable", [0o777, 0o775])
def test_a_folder_that_others_may_replace_starts_no_haproxy(
    tmp_path: Path, configuration: str, writable: int
) -> None:
    file = folder_with(tmp_path, configuration)
    tmp_path.chmod(writable)

    refused = run_guard(file)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "another user's" in refused.stderr


def test_a_folder_that_is_a_link_starts_no_haproxy(tmp_path: Path, configuration: str) -> None:
    file = folder_with(tmp_path, configuration)
    (tmp_path / "link").symlink_to(file.parent)

    assert run_guard(tmp_path / "link" / file.name).returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes another user's folder")
@pytest.mark.parametrize("theirs", ["", "folder"])
def test_another_users_folder_starts_no_haproxy(
    tmp_path: Path, configuration: str, theirs: str
) -> None:
    file = folder_with(tmp_path, configuration)
    os.chown(tmp_path / theirs, 12_345, 12_345)

    refused = run_guard(file)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "another user's" in refused.stderr


def test_the_folder_becomes_its_owners_alone_whatever_its_mode(
    tmp_path: Path, configuration: str
) -> None:
    file = folder_with(tmp_path, configuration)
    file.parent.chmod(0o777)
    tmp_path.chmod(0o1777)  # As /tmp.

    guard(file)

    assert file.parent.stat().st_mode & 0o777 == 0o700


def folder_with(parent: Path, configuration: str) -> Path:
    """Return the file of a configuration, in a folder of its own."""
    folder = parent / "folder"
    folder.mkdir()
    file = folder / "haproxy.cfg"
    file.write_text(configuration)
    return file

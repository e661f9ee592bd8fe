"""The first admin key is in its file for good before it counts."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from actors.auth.first_key import first_key, keep_secret
from actors.mongo.audit import MongoAudit
from actors.mongo.keys import MongoKeys
from tests.fakes.setups import MongoSetup


def test_a_power_cut_leaves_file_and_folder_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, int]] = []

    def fsync(number: int) -> None:
        found = os.fstat(number)
        synced.append((found.st_ino, found.st_size if stat.S_ISREG(found.st_mode) else 0))

    monkeypatch.setattr(os, "fsync", fsync)
    file = tmp_path / "admin.key"

    keep_secret(file, "a secret\n")

    assert synced == [(file.stat().st_ino, 9), (tmp_path.stat().st_ino, 0)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "a secret\n"


def test_a_secret_replaces_the_file_of_before(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("of before, and readable by all")

    keep_secret(file, "new\n")

    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new\n", 0o600)


def test_a_key_counts_once_it_is_kept(
    embedded: MongoSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    audit = MongoAudit(embedded.database)
    with monkeypatch.context() as no_room:
        no_room.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            first_key(MongoKeys(embedded.database), audit, tmp_path)
    none = MongoKeys(embedded.database).list()
    text = first_key(MongoKeys(embedded.database), audit, tmp_path)

    assert none == []
    (act,) = audit.page(10, None, None)
    (kept,) = MongoKeys(embedded.database).list()
    assert (act.by, act.action, act.made) == ("start", "keys create", kept.key_id)
    assert (tmp_path / "admin.key").read_text() == f"{text}\n"
    assert first_key(MongoKeys(embedded.database), audit, tmp_path) is None

"""The first admin key: made once, kept where its operator finds it."""

import os
from datetime import UTC, datetime
from pathlib import Path

from actors.auth.api_keys import ApiKey, KeyStore, hash_of, make_key
from actors.auth.audit import START, ActOutcome, Audit, make_act
from actors.auth.caller import Scope
from domain.values import to_instant


def first_key(keys: KeyStore, audit: Audit, directory: Path) -> str | None:
    """Make the first admin key and keep it in `admin.key`; None where there is one already.

    One that is limited to users or services does not count: nobody could make another with it.
    """
    now = datetime.now(UTC)
    admins = (key for key in keys.list() if key.scope is Scope.ADMIN and key.limits is None)
    if any(key.in_force(now) for key in admins):
        return None
    text, key = make_key("first admin key", Scope.ADMIN, now)
    keep_secret(directory / "admin.key", text + "\n")  # Before it counts: nobody makes it again.
    act = make_act(to_instant(now), START, "keys create", made=key.key_id, outcome=ActOutcome.DONE)
    audit.begin(act)
    keys.insert(key)
    return text


def renew_kept(directory: Path, before: ApiKey, text: str) -> bool:
    """Keep a new key where the one before it is kept for the commands; whether it was."""
    path = directory / "admin.key"
    kept = path.is_file() and hash_of(path.read_text().strip()) == before.hash
    if kept:
        keep_secret(path, text + "\n")
    return kept


def keep_secret(path: Path, text: str) -> None:
    """Write a file that only its owner reads. When this returns, a power cut leaves it there."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

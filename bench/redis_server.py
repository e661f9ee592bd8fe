"""A Redis that has every write in its file before it answers, with the users of a run."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actors.auth.api_keys import make_key
from actors.auth.caller import Scope
from bench.documents import day_documents, subscription_document
from bench.processes import BenchError, clean_environment, free_port, running

SEED_SECONDS_MAX = 60.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


@contextlib.contextmanager
def redis_server() -> Iterator[int]:
    """Run a server of its own in a fresh directory; yield its port."""
    with tempfile.TemporaryDirectory(prefix="ab-") as folder:
        port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", folder]
        with running(
            [*command, *DURABLE],
            clean_environment(),
            Path(folder),
            lambda line: "Ready to accept connections" in line,
        ):
            yield port


def seed_redis(port: int, users: int) -> str:
    """Give every user a subscription and days, and return a key."""
    text, key = make_key("bench", Scope.ADMIN, datetime.now(UTC))
    lines = [hash_line(f"key:{key.hash}", {"scope": "admin"}), *account_lines(users)]
    done = subprocess.run(
        ["redis-cli", "-p", str(port), "--pipe"],
        input="".join(lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=SEED_SECONDS_MAX,
    )
    if done.returncode or "errors: 0," not in done.stdout:
        raise BenchError(f"Redis did not take the users:\n{done.stdout}{done.stderr}")
    return text


def account_lines(users: int) -> Iterator[str]:
    """Yield a line for each user's subscription and days."""
    now = datetime.now(UTC)
    for index in range(users):
        subscription = subscription_document(index, now)
        user = subscription.pop("user_id")
        yield hash_line(f"subscription:{user}", subscription)
        for day in day_documents({**subscription, "user_id": user}, now):
            yield hash_line(f"day:{user}:{day['date']:%Y-%m-%d}", day)


def hash_line(key: str, fields: Mapping[str, Any]) -> str:
    """Return the command that writes a hash. No value has a blank."""
    return (
        f"HSET {key} {' '.join(f'{name} {text_of(value)}' for name, value in fields.items())}\r\n"
    )


def text_of(value: Any) -> str:
    """Return a value as Redis keeps it: instants as JavaScript reads them."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)

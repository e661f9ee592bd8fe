"""The TypeScript client and the service's document: `python -m tests.clients.typescript` writes its types.

Node and npm are needed for that, and for the client's own tests; where they are missing, or the
registry cannot be reached, these tests are skipped, and say so.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.interface import listening
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "typescript"
TYPES = CLIENT / "src" / "openapi.ts"
PACKED = CLIENT / "build" / "packed"
MADE_OF = ("package.json", "package-lock.json", "tsconfig.json", "README.md")
INSTALL_SECONDS_MAX = 600.0
COMMAND_SECONDS_MAX = 300.0


def document() -> dict[str, Any]:
    """Return what the service answers to `GET /openapi.json`."""
    with listening() as interface:
        found: dict[str, Any] = httpx.get(
            f"{interface.address}/openapi.json", timeout=PATIENCE_SECONDS
        ).json()
    return found


def bodies_alone(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the document without what makes no types: the client has its own operations."""
    schemas = whole["components"]["schemas"]
    bare = {
        name: {key: value for key, value in schema.items() if key != "examples"}
        for name, schema in schemas.items()
    }
    return whole | {"paths": {}, "components": {"schemas": bare}}


def written_types(target: Path, directory: Path) -> None:
    """Write the types of the document to a file, with a scratch directory to work in."""
    source = directory / "openapi.json"
    source.write_text(json.dumps(bodies_alone(document())))
    npm("exec", "--", "openapi-typescript", str(source), "--output", str(target))


def npm(*arguments: str, seconds_max: float = COMMAND_SECONDS_MAX) -> str:
    """Run npm in the client's folder, and return what it says. CalledProcessError: it failed."""
    return run("npm", *arguments, seconds_max=seconds_max)


def run(
    *command: str, env: dict[str, str] | None = None, seconds_max: float = COMMAND_SECONDS_MAX
) -> str:
    """Run a command in the client's folder, and return what it says."""
    done = subprocess.run(
        command,
        cwd=CLIENT,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@functools.cache
def needs_node() -> None:
    """Install what the client's tests need, once; skip the test where that is not possible."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"the TypeScript client is not tested: there is no {program}")
    installed = CLIENT / "node_modules" / ".package-lock.json"
    lock = CLIENT / "package-lock.json"
    try:
        with alone():
            if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
                return
            npm("ci", "--ignore-scripts", "--no-audit", seconds_max=INSTALL_SECONDS_MAX)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        if "E404" in str(error) or "EINTEGRITY" in str(error):
            raise
        pytest.skip(f"the TypeScript client is not tested: npm cannot install: {error}")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Be the one process that changes the client's folder: tests run in several."""
    file = CLIENT / "build" / "lock"
    file.parent.mkdir(exist_ok=True)
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def packed() -> Path:
    """Return the client as it is published. It is built once for what it is built from."""
    needs_node()
    with alone():
        found = PACKED / f"{digest_of_sources()}.tgz"
        if not found.exists():
            shutil.rmtree(PACKED, ignore_errors=True)
            PACKED.mkdir()
            told = json.loads(npm("pack", "--json", "--pack-destination", str(PACKED)))
            (PACKED / told[0]["filename"]).rename(found)
    return found


def digest_of_sources() -> str:
    """Return a digest of every file that the package is made of, or made by."""
    folders = [CLIENT / "src", CLIENT / "scripts"]
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in [*files, *(CLIENT / name for name in MADE_OF), ROOT / "LICENSE"]:
        digest.update(f"{file} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def install_package(directory: Path) -> Path:
    """Install the client as it is published, for programs in this directory; return where it is."""
    with tarfile.open(packed()) as archive:
        archive.extractall(directory, filter="data")
    installed = directory / "node_modules" / "@allotment" / "client"
    installed.parent.mkdir(parents=True)
    (directory / "package").rename(installed)
    return installed


def there(service: RunningService, **more: str) -> dict[str, str]:
    """Return the environment in which the client's tests find a service."""
    found = {"ALLOTMENT_URL": service.address, "ALLOTMENT_KEY": service.key}
    return os.environ | found | {"ALLOTMENT_MONGO_URI": service.mongo_uri} | more


def main() -> int:
    needs_node()
    with tempfile.TemporaryDirectory() as directory:
        written_types(TYPES, Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""axe-core, installed once by npm from the lock beside it."""

import fcntl
import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.chromium import Chromium

FOLDER = Path(__file__).parent
SCRIPT = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
LOCK = FOLDER / "package-lock.json"
INSTALL_SECONDS_MAX = 300.0
HARMLESS = {"minor", "moderate"}


def faults(browser: Chromium) -> list[str]:
    """Return what of the page some people cannot use, as axe-core finds it.

    The test is skipped where npm cannot install it.
    """
    browser.evaluate(_source())
    found = browser.evaluate("axe.run(document).then((told) => told.violations)")
    return [_told(one) for one in found if one["impact"] not in HARMLESS]


def _told(violation: dict[str, Any]) -> str:
    nodes = [f"{node['html']} {node['failureSummary']}" for node in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']}\n" + "\n".join(nodes)


@functools.cache
def _source() -> str:
    """Return axe-core as a script."""
    with (FOLDER / "package.json").open() as held:  # Tests run in several processes.
        fcntl.flock(held, fcntl.LOCK_EX)
        if not SCRIPT.exists() or SCRIPT.stat().st_mtime < LOCK.stat().st_mtime:
            _install()
    return SCRIPT.read_text()


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("pages are not checked with axe-core: there is no npm")
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        told = done.stdout + done.stderr
        assert not {"E404", "EINTEGRITY"} & set(told.split()), told
        pytest.skip(f"pages are not checked with axe-core: npm cannot install it: {told}")
    SCRIPT.touch()  # npm keeps the time at which it was packed.

"""The audit says yes only of what was looked up, all of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[1] / ".ci" / "audit"
CLEAN = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
UNKNOWN = {"name": "ray", "skip_reason": "Dependency not found on PyPI"}
VULNERABLE = {
    "name": "stripe",
    "version": "16.1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["16.2.0"], "aliases": [], "description": ""}],
}


@pytest.mark.parametrize(
    ("report", "code", "says"),
    [
        (json.dumps({"dependencies": [CLEAN]}), 0, "1 packages looked up, 0 vulnerabilities"),
        (json.dumps({"dependencies": [CLEAN, VULNERABLE]}), 1, "PYSEC-1, mended in 16.2.0"),
        (json.dumps({"dependencies": [VULNERABLE, UNKNOWN]}), 1, "unknown to the service: ray"),
        (json.dumps({"dependencies": [CLEAN, UNKNOWN]}), 3, "unknown to the service: ray"),
        (json.dumps({"dependencies": []}), 3, "0 packages looked up"),
        ("", 3, "there is no report, so nothing is known"),
        ("not JSON", 3, "there is no report, so nothing is known"),
    ],
)
def test_the_audit_passes_only_where_every_package_was_looked_up(
    report: str, code: int, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    file.write_text(report)

    done = subprocess.run(
        [sys.executable, AUDIT, "--report", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == code, done.stderr
    assert says in done.stdout


def test_without_its_tool_nothing_is_known_and_what_is_missing_is_said(tmp_path: Path) -> None:
    elsewhere = tmp_path / ".ci" / "audit"
    elsewhere.parent.mkdir()
    elsewhere.write_text(AUDIT.read_text())

    done = subprocess.run([sys.executable, elsewhere], capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert "nothing is known" in done.stdout
    assert done.stderr == "pip-audit is not installed: make .venv/tools/.ready\n"

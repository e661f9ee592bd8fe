"""Runs Atheris with a target in a process of its own: it ends the process that it runs in."""

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
INPUT_SECONDS_MAX = 10  # An input that takes longer is a finding.
INPUT_BYTES_MAX = 4_096
MEMORY_MB_MAX = 2_048


class Found(NamedTuple):
    """What came of looking with one target."""

    name: str
    executions: int
    failed: bool
    told: str
    """What was printed of the failure, the input in Base64 with it."""

    def __str__(self) -> str:
        verdict = f"FAILED\n{self.told}" if self.failed else "found nothing"
        return f"{self.name}: {self.executions} executions, {verdict}"


def look(name: str, folder: Path, *, seconds: int = 0, executions: int = 0) -> Found:
    """Look with one target for so long, or so often; then with the same inputs each time.

    `folder`: where inputs of interest are kept, and `found` within it.
    """
    kept = folder / "corpus" / name
    found = folder / "found"
    for each in (kept, found):
        each.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(TARGETS[name].examples()):
        (kept / f"example-{number}").write_bytes(example)
    bound = f"-max_total_time={seconds}" if seconds else f"-runs={executions}"
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", name, bound),
        *(f"-timeout={INPUT_SECONDS_MAX}", f"-max_len={INPUT_BYTES_MAX}"),
        *(f"-rss_limit_mb={MEMORY_MB_MAX}", f"-artifact_prefix={found.resolve()}/{name}-"),
        *(f"-seed={0 if seconds else 1}", "-print_final_stats=1", str(kept.resolve())),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    told = done.stdout.decode(errors="replace")
    counted = re.findall(r"number_of_executed_units: (\d+)|^#(\d+)", told, re.MULTILINE)
    number = max((int(a or b) for a, b in counted), default=0)
    return Found(name, number, done.returncode != 0, _failure(told, found))


def _failure(told: str, found: Path) -> str:
    """Return what a person needs of libFuzzer's output."""
    written = re.search(r"Test unit written to (\S+)", told)
    start = max(told.find("Uncaught Python exception"), 0)
    text = re.split(r"==\d+==", told[start:])[0].strip()[-3_000:]
    if written and (file := Path(written[1])).parent == found.resolve() and file.exists():
        text += f"\ninput: {base64.b64encode(file.read_bytes()).decode()}"
    return text

"""The adapters for OpenAI's SDK and LiteLLM, with their vendors in an environment of their own.

It is made once, from a lock, where a registry can be reached; else these tests are skipped.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.auth.caller import Scope
from allotment_client import Allotment
from tests.fakes.interface import Listening, listening
from tests.patience import SERVICE_SECONDS

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"
LOCK = CLIENT / "adapters.lock"
QUICKSTART = ROOT / "docs" / "quickstart-python.md"
ENVIRONMENT = Path(os.environ.get("ALLOTMENT_ADAPTERS", ROOT / ".venv" / "adapters"))
PYTHON = ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="module")
def interface() -> Iterator[Listening]:
    with listening() as interface:
        yield interface


@pytest.fixture(scope="module")
def python() -> Path:
    """Return a Python with the vendors. It is made in a minute, and then kept."""
    done = subprocess.run(
        ["make", str(ENVIRONMENT / ".ready"), f"ADAPTERS={ENVIRONMENT}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SERVICE_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the vendors cannot be installed: {done.stderr.strip()[-200:]}")
    return PYTHON


@pytest.mark.parametrize("file", sorted(path.name for path in CLIENT.glob("tests/test_*.py")))
def test_an_adapter_holds_and_settles(interface: Listening, python: Path, file: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={directory}"]
        done = subprocess.run(
            [python, "-m", "pytest", *options, CLIENT / "tests" / file],
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(CLIENT / "src"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "ALLOTMENT_URL": interface.address,
                "ALLOTMENT_API_KEY": interface.keys[Scope.ADMIN],
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            capture_output=True,
            text=True,
            timeout=SERVICE_SECONDS,
            check=False,
        )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout


@pytest.mark.parametrize("vendor", ["openai", "litellm"])
def test_the_block_of_the_quickstart_about_it_runs(
    interface: Listening, python: Path, vendor: str
) -> None:
    with Allotment.connect(interface.address, interface.keys[Scope.ADMIN]) as allotment:
        payment = {"method": "card", "amount": 900, "currency": "eur"}
        allotment.add_credit("ada", 900, 10, payment | {"transaction_id": vendor})
    blocks = re.findall(r"^```python\n(.*?)^```$", QUICKSTART.read_text(), re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if f"allotment_client.{vendor}" in block]

    done = subprocess.run(
        [python, CLIENT / "tests" / "model_server.py", "-c", block],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CLIENT / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ALLOTMENT_URL": interface.address,
            "ALLOTMENT_API_KEY": interface.keys[Scope.WRITE],
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        capture_output=True,
        text=True,
        timeout=SERVICE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert vendor != "openai" or done.stdout == "good morning to you\n"


def test_the_lock_names_a_release_of_litellm_that_is_not_the_compromised_one() -> None:
    text = LOCK.read_text()

    assert re.findall(r"^litellm==(\S+)", text, re.MULTILINE) == ["1.91.5"]
    assert re.search(r"^openai==", text, re.MULTILINE)


def test_the_service_installs_none_of_them() -> None:
    for lock in (ROOT / "requirements.lock", ROOT / "requirements-dev.lock"):
        assert not re.search(r"^(litellm|openai)\b", lock.read_text(), re.MULTILINE)
    assert "litellm" not in sys.modules

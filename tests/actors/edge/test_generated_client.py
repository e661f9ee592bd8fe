"""A client that a public generator makes from the document works."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.auth.caller import Scope
from tests.fakes.edge import CREDITS, USAGE
from tests.fakes.interface import Listening, listening
from tests.patience import PATIENCE_SECONDS

PACKAGE = "generated_client"


def generate(interface: Listening, directory: Path) -> None:
    """Write a client package. Raises CalledProcessError where the generator gives up."""
    document = directory / "openapi.json"
    document.write_text(
        json.dumps(httpx.get(f"{interface.address}/openapi.json", timeout=PATIENCE_SECONDS).json())
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document)),
            *("--meta", "none", "--output-path", str(directory / PACKAGE), "--fail-on-warning"),
        ],
        cwd=directory,
        # It formats what it has written with the ruff that it finds.
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
    )


def test_a_generated_client_adds_charges_and_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as interface:
        try:
            generate(interface, tmp_path)
        except subprocess.CalledProcessError as error:
            pytest.fail(f"{error.stdout}\n{error.stderr}")
        monkeypatch.syspath_prepend(tmp_path)
        root: Any = importlib.import_module(PACKAGE)
        models: Any = importlib.import_module(f"{PACKAGE}.models")

        def operation(tag: str, name: str) -> Any:
            return importlib.import_module(f"{PACKAGE}.api.{tag}.{name}")

        with root.AuthenticatedClient(interface.address, interface.keys[Scope.ADMIN]) as client:
            added = operation("subscription", "add_credit").sync(
                client=client, body=models.AddCreditBody.from_dict(CREDITS)
            )
            charged = operation("subscription", "record_usage").sync(
                client=client, body=models.RecordUsageBody.from_dict(USAGE), idempotency_key="k"
            )
            refused = operation("subscription", "record_usage").sync(
                client=client,
                body=models.RecordUsageBody.from_dict(USAGE | {"credit_amount": 5000}),
            )
            shown = operation("subscription", "get_status").sync(client=client, user_id="ada")
            listed = operation("admin", "get_sync").sync(client=client)

    assert added.subscription.daily_credit_limit == 90
    assert charged.remaining_credits == shown.remaining_credits == 60
    assert (refused.code, refused.limit.value) == ("insufficient_credits", "subscription")
    assert listed.resyncs == 1

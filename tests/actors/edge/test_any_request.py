"""Requests that a program makes up from the OpenAPI document: no failure, no answer it lacks."""

from pathlib import Path

from actors.auth.caller import Scope
from tests.fakes.any_request import attack
from tests.fakes.interface import listening

CASES_AN_OPERATION = 5
SEED = 20261125


def test_any_request_gets_an_answer_that_the_document_knows(tmp_path: Path) -> None:
    with listening() as interface:
        code, printed = attack(
            interface.address, interface.keys[Scope.ADMIN], CASES_AN_OPERATION, SEED, tmp_path
        )

    assert code == 0, printed
    assert "No issues found" in printed or "passed" in printed, printed

"""What the commands that correct send, and what they print."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from actors.cli import corrections
from actors.cli.main import app
from domain.api.correction_answers import AdjustmentResponse, ReversalResponse
from domain.api.correction_requests import AdjustCreditsBody, ReverseUsageBody
from tests.builders.examples import example

USAGE_ID = "69aff0a14c2d1e0f9a8b7c6d"
ADJUSTED, REVERSED = example(AdjustmentResponse), example(ReversalResponse)

Asked = tuple[str, str, dict[str, Any], str]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Stand in for the service: what was asked is noted, and examples are answered."""
    noted: list[Asked] = []

    class Service:
        def __init__(self, settings: object) -> None:
            pass

        def ask(self, method: str, path: str, body: dict[str, Any], *, key: str) -> Any:
            noted.append((method, path, body, key))
            return ADJUSTED if path.endswith("adjustments") else REVERSED

    monkeypatch.setattr(corrections, "Service", Service)
    return noted


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--credits", "50"), {"credit_amount": 50}),
        (("--credits", "-50", "--allow-debt"), {"credit_amount": -50, "allow_debt": True}),
        (("--remaining", "0"), {"remaining_credits": 0}),
        (
            ("--credits", "1", "--expires-at", "2027-01-01T00:00:00Z"),
            {"credit_amount": 1, "expires_at": "2027-01-01T00:00:00Z"},
        ),
    ],
)
def test_an_adjustment_says_what_was_asked_for_and_no_more(
    asked: list[Asked], options: tuple[str, ...], said: dict[str, Any]
) -> None:
    printed = run("adjust", "org/ada", "--reason", "An apology.", *options)

    ((method, path, body, key),) = asked
    assert (method, path) == ("POST", "/subscription/adjustments")
    expected = {"user_id": "org/ada", "reason": "An apology."} | said
    assert AdjustCreditsBody(**body) == AdjustCreditsBody(**expected)
    assert key
    assert printed == f"50 given, 1110 left ({ADJUSTED['adjustment_id']})\n"


@pytest.mark.parametrize("amounts", [(), ("--credits", "1", "--remaining", "1")])
def test_an_adjustment_has_one_amount(asked: list[Asked], amounts: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["adjust", "ada", "--reason", "r", *amounts])

    assert (result.exit_code, asked) == (2, [])


def test_a_reversal_says_what_was_asked_for_and_no_more(asked: list[Asked]) -> None:
    printed = run("reverse", USAGE_ID, "--reason", "It failed.", "--credits", "10", "--key", "k")

    ((method, path, body, key),) = asked
    assert (method, path, key) == ("POST", f"/subscription/usage/{USAGE_ID}/reversals", "k")
    assert ReverseUsageBody(**body) == ReverseUsageBody(reason="It failed.", credit_amount=10)
    assert printed == f"10 back to ada, 1070 left ({REVERSED['reversal_id']})\n"


def test_an_id_with_a_slash_reaches_no_other_path(asked: list[Asked]) -> None:
    run("reverse", "../x", "--reason", "r")

    assert asked[0][1] == "/subscription/usage/..%2Fx/reversals"


@pytest.mark.usefixtures("asked")
def test_machines_get_the_answer_itself() -> None:
    assert json.loads(run("adjust", "ada", "--credits", "1", "--reason", "r", "--json")) == ADJUSTED
    assert json.loads(run("reverse", USAGE_ID, "--reason", "r", "--json")) == REVERSED


@pytest.mark.parametrize("command", [["adjust", "ada", "--credits", "1"], ["reverse", USAGE_ID]])
def test_a_correction_has_a_reason(asked: list[Asked], command: list[str]) -> None:
    assert CliRunner().invoke(app, command).exit_code == 2
    assert asked == []

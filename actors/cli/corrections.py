"""The commands that correct: a balance adjusted, a charge reversed."""

import secrets
from typing import Annotated
from urllib.parse import quote

import typer

from actors.cli.terminal import AsJson, Service, load_settings, out, print_json
from domain.api.correction_answers import AdjustmentResponse, ReversalResponse

Reason = Annotated[str, typer.Option(help="Why: it is kept in the user's history.")]
Key = Annotated[
    str | None, typer.Option(help="Idempotency key: repeated with the same one, it is done once.")
]


def adjust(  # noqa: PLR0913 - what is given or taken, and how
    user: Annotated[str, typer.Argument(help="The user's id.")],
    *,
    reason: Reason,
    amount: Annotated[
        int | None, typer.Option("--credits", help="To be given; less than 0: to be taken.")
    ] = None,
    remaining: Annotated[int | None, typer.Option(min=0, help="What is to be left.")] = None,
    expires_at: Annotated[
        str | None, typer.Option(help="When what is given lapses, as 2027-01-01T00:00:00Z.")
    ] = None,
    allow_debt: Annotated[
        bool, typer.Option("--allow-debt", help="What nothing covers is taken as debt.")
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give a user credits or take some, or set what is left to a number."""
    if (amount is None) == (remaining is None):
        raise typer.BadParameter("give one of --credits and --remaining")
    body = {
        "user_id": user,
        "credit_amount": amount,
        "remaining_credits": remaining,
        "reason": reason,
        "expires_at": expires_at,
        "allow_debt": allow_debt,
    }
    answer = Service(load_settings()).ask(
        "POST", "/subscription/adjustments", body, key=key or secrets.token_hex(16)
    )
    report = AdjustmentResponse.model_validate(answer)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    done = f"{abs(report.credit_amount)} {'taken' if report.credit_amount < 0 else 'given'}"
    out.print(f"{done}, {report.remaining_credits} left ({report.adjustment_id})", soft_wrap=True)


def reverse(
    usage_id: Annotated[str, typer.Argument(help="The id of the charge.")],
    *,
    reason: Reason,
    amount: Annotated[
        int | None, typer.Option("--credits", min=1, help="A part; without: all that is left.")
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Give back what a charge has taken, or a part of it, to where it came from."""
    answer = Service(load_settings()).ask(
        "POST",
        f"/subscription/usage/{quote(usage_id, safe='')}/reversals",
        {"credit_amount": amount, "reason": reason},
        key=key or secrets.token_hex(16),
    )
    report = ReversalResponse.model_validate(answer)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    lapsed = f", {report.lapsed_credits} lapsed" if report.lapsed_credits else ""
    out.print(
        f"{report.returned_credits} back to {report.user_id}{lapsed},"
        f" {report.remaining_credits} left ({report.reversal_id})",
        soft_wrap=True,
    )


def add_correcting_commands(app: typer.Typer) -> None:
    """Add the commands that correct."""
    for command in (adjust, reverse):
        app.command()(command)

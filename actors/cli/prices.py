"""The command that brings prices of models into the price list: `allotment prices import litellm`."""

import contextlib
import os
import tempfile
import tomllib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from actors.cli.litellm_map import (
    UNIT_SIZE,
    ImportedPrice,
    Rate,
    imported,
    read_map,
    spelled,
)
from actors.cli.terminal import AsJson, fail, load_settings, out, print_json, print_table
from actors.runtime.price_list import FILE_BYTES_MAX
from domain.pricing import PRICES_MAX, PriceList, read_prices
from domain.usage_facts import KINDS

FIRST_LINE = "# >>> from LiteLLM: the next import replaces everything up to <<<"
LAST_LINE = "# <<<"

prices = typer.Typer(no_args_is_help=True, help="The price list.")
importing = typer.Typer(no_args_is_help=True, help="Take prices from what others publish.")
prices.add_typer(importing, name="import")


@importing.callback()
def sources() -> None:
    """Keep `litellm` a command of its own name, though it is the only one."""


def positive(text: str) -> Decimal:
    """Return a number as it is written. typer.BadParameter: it is none above 0."""
    with contextlib.suppress(InvalidOperation):
        number = Decimal(text)
        if number.is_finite() and number > 0:
            return number
    raise typer.BadParameter("it must be a number above 0")


@importing.command()
def litellm(
    file: Annotated[
        Path,
        typer.Argument(
            help="LiteLLM's `model_prices_and_context_window.json`.", exists=True, dir_okay=False
        ),
    ],
    *,
    credit_worth: Annotated[
        Decimal, typer.Option(parser=positive, metavar="DOLLARS", help="What a credit is worth.")
    ],
    markup: Annotated[
        Decimal,
        typer.Option(parser=positive, metavar="FACTOR", help="1.3 adds 30% to what models cost."),
    ] = Decimal(1),
    models: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Only models whose names fit, such as `gpt-*`; repeatable."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put what models cost into the file of ALLOTMENT_PRICES, which a running service follows.

    What an import has written is replaced by the next one; the rest of the file stays.
    """
    path = load_settings().prices
    if path is None and not dry_run:
        fail("ALLOTMENT_PRICES is not set: it names the file to write to.")
    try:
        found = imported(
            read_map(file.read_text("utf-8")), Rate(markup, credit_worth), models or ()
        )
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}")
    text = text_of(path)
    head, tail = around(text, path)
    new = with_prices(head, found, tail)
    listed = checked(new, len(found), path)
    own = len(tomllib.loads(head).get("prices", ()))
    shadowed = {price.model for price in found if is_shadowed(listed, own, price)}
    show(found, shadowed, as_json=as_json)
    if path is None or dry_run:
        note("nothing is changed: this was a dry run", as_json=as_json)
        return
    write(path, new)
    note(f"{len(found)} prices are in {path}; a running service follows it", as_json=as_json)


def text_of(path: Path | None) -> str:
    """Return the list that there is; empty: there is none yet."""
    if path is None or not path.exists():
        return ""
    try:
        text = path.read_text("utf-8")
        read_prices(text)
    except (OSError, ValueError) as error:
        fail(f"{path} is to be mended first: {error}")
    return text


def around(text: str, path: Path | None) -> tuple[str, str]:
    """Return what stands before and after an import; one that is new comes last."""
    lines = text.splitlines(keepends=True)
    bare = [line.strip() for line in lines]
    if FIRST_LINE not in bare:
        return (text if not text or text.endswith("\n") else f"{text}\n"), ""
    begin = bare.index(FIRST_LINE)
    if LAST_LINE not in bare[begin:]:
        fail(
            f"{path} is to be mended first: nothing ends the import; put a line `{LAST_LINE}` there"
        )
    end = bare.index(LAST_LINE, begin)
    return "".join(lines[:begin]), "".join(lines[end + 1 :])


def with_prices(head: str, found: Sequence[ImportedPrice], tail: str) -> str:
    """Return a list with an import in its place."""
    tables = "\n".join(price.toml() for price in found)
    return f"{head}{FIRST_LINE}\n{tables}{LAST_LINE}\n{tail}"


def checked(text: str, count: int, path: Path | None) -> PriceList:
    """Return the list that is to be written, or end the command with why it can be none."""
    if not count:
        fail("No model of the map that fits costs by its tokens.")
    hint = f" Choose some of the {count} models with --models." if count > PRICES_MAX // 2 else ""
    if len(text.encode()) > FILE_BYTES_MAX:
        fail(f"{path or 'The list'} would have more than {FILE_BYTES_MAX} bytes.{hint}")
    try:
        return read_prices(text)
    except ValueError as error:
        fail(f"{path or 'The list'} would be no price list: {error}.{hint}")


def is_shadowed(listed: PriceList, own: int, price: ImportedPrice) -> bool:
    """Say whether a price before the import, of all services and times, decides for a model."""
    return any(
        one.service == "*"
        and one.effective_from is one.effective_until is None
        and one.fits_model(price.model)
        for one in listed.prices[:own]
    )


def show(found: Sequence[ImportedPrice], shadowed: set[str], *, as_json: bool) -> None:
    """Print what is set: credits for a million tokens of each kind."""
    if as_json:
        print_json([row_of(price, price.model in shadowed) for price in found])
        return
    columns = ("model", *(kind.replace("_", " ") for kind in KINDS), "others", "")
    rows = [
        (
            price.model,
            *(spelled(price.rates[kind]) if kind in price.rates else "" for kind in KINDS),
            spelled(price.of_others),
            remark_on(price, is_shadowed=price.model in shadowed),
        )
        for price in found
    ]
    print_table(columns, rows)
    note(
        f"credits for {UNIT_SIZE:,} tokens; `others`: of tokens whose kind is not told",
        as_json=False,
    )


def row_of(price: ImportedPrice, is_shadowed: bool) -> dict[str, object]:  # noqa: FBT001 - a column
    """Return a price for machines."""
    return {
        "model": price.model,
        "credits_per_unit": spelled(price.of_others),
        "unit_size": UNIT_SIZE,
        "by_kind": {kind: spelled(rate) for kind, rate in price.rates.items()},
        "shadowed": is_shadowed,
        "dearer_when_long": price.is_dearer_when_long,
    }


def remark_on(price: ImportedPrice, *, is_shadowed: bool) -> str:
    """Return what an operator should know of a price."""
    remarks = ["an earlier price decides"] if is_shadowed else []
    if price.is_dearer_when_long:
        remarks.append("dearer when long: not taken over")
    return ", ".join(remarks)


def note(sentence: str, *, as_json: bool) -> None:
    """Print a sentence to people; machines get the rows alone."""
    if not as_json:
        out.print(sentence, highlight=False, soft_wrap=True)


def write(path: Path, text: str) -> None:
    """Put a text in the place of a file's, at once: a reader sees one or the other."""
    target = path.resolve()
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        new = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            new.chmod(mode)
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")

"""The command that compares with Stripe."""

import contextlib
import threading
from collections.abc import Iterator

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from actors.cli.terminal import (
    RUN_SECONDS_MAX,
    AsJson,
    Service,
    errors,
    fail,
    load_settings,
    out,
    print_json,
)
from actors.protocol.reports import SweepReport

PROGRESS_SECONDS = 0.5  # How often it is asked how far the comparison is.
NOT_SET_UP = frozenset({404})

stripe = typer.Typer(no_args_is_help=True, help="What has to do with Stripe.")


@stripe.callback()
def commands() -> None:
    """Keep `reconcile` a command of its own name, though it is the only one."""


@stripe.command()
def reconcile(*, as_json: AsJson = False) -> None:
    """Compare all subscriptions, and 30 days of invoices and events, with Stripe's."""
    service = Service(load_settings())
    with followed(service):
        answer = service.ask(
            "POST", "/admin/stripe/reconcile", seconds_max=RUN_SECONDS_MAX, unless=NOT_SET_UP
        )
    if answer is None:
        fail("Stripe is not set up: ALLOTMENT_STRIPE_API_KEY is needed.")
    report = SweepReport.model_validate(answer)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    for difference in report.differences:
        out.print(difference, highlight=False)
    seconds = report.elapsed_ms / 1000
    out.print(
        f"{report.checked} compared, {report.differed} differed, {seconds:.1f}s", highlight=False
    )


@contextlib.contextmanager
def followed(service: Service) -> Iterator[None]:
    """Show a bar that says how far the comparison is, as long as the block.

    Where nobody watches, nothing is shown.
    """
    if not errors.is_terminal:
        yield
        return
    ended = threading.Event()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("comparing with Stripe", total=None)

        def follow() -> None:
            while not ended.wait(PROGRESS_SECONDS):
                at = service.ask("GET", "/admin/stripe/reconcile", unless=NOT_SET_UP) or {}
                if at.get("running"):
                    seen = f"{at['kind']}: {at['checked']} compared, {at['differed']} differ"
                    progress.update(task, description=seen)

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(PROGRESS_SECONDS)

"""What commands print, how they end, and how they ask the running service."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, NoReturn

import httpx
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from actors.settings import Settings, explain

HTTP_SECONDS_MAX = 10.0
RUN_SECONDS_MAX = 1_000.0  # How long the service may take for what goes through all accounts.


class PlainConsole(Console):
    """A console for which texts are texts: no markup, no emoji, no control characters in them.

    Names of keys and ids of users are whatever somebody gave.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown."""
        return super().render_str(printable(text), **options)


out = PlainConsole()
errors = PlainConsole(stderr=True)


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def printable(text: str) -> str:
    """Return a text with escapes for what a terminal would obey: all but line breaks."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def one_line(text: str) -> str:
    """Return a text that stays in its cell."""
    return printable(text).replace("\n", "\\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to people; to pipes and files, a line a row with tabs between."""
    if not out.is_terminal:
        for row in (columns, *rows):
            typer.echo("\t".join(map(one_line, row)))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(one_line, row))
    out.print(table)


def print_json(content: object) -> None:
    """Print what machines read: JSON on standard output, nothing else."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def fail(sentence: str) -> NoReturn:
    """Print a sentence and end with exit code 1."""
    told = Text.assemble(("allotment:", "red"), f" {printable(sentence)}")
    errors.print(told, soft_wrap=True)
    raise typer.Exit(1)


def load_settings() -> Settings:
    """Return the settings, or end the command with what is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        fail(f"The settings are not valid.\n{explain(error)}")


def first_key(settings: Settings) -> str:
    """Return the first admin key, or end the command where it is not kept."""
    key_file = settings.data_dir / "admin.key"
    if not key_file.exists():
        fail(f"There is no admin key in {key_file}: start the service once with `allotment up`.")
    return key_file.read_text().strip()


LOOK_SECONDS = 0.5  # How often it is asked how far something is.


class Service:
    """The running service, asked over HTTP with the first admin key."""

    def __init__(self, settings: Settings) -> None:
        self._place = f"{settings.http_host}:{settings.http_port}"
        self._headers = {"Authorization": f"Bearer {first_key(settings)}"}

    def client(self) -> httpx.Client:
        """Return a client of its HTTP interface, for many requests."""
        url = f"http://{self._place}"
        return httpx.Client(base_url=url, headers=self._headers, timeout=HTTP_SECONDS_MAX)

    def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        seconds_max: float = HTTP_SECONDS_MAX,
        unless: frozenset[int] = frozenset(),
        key: str | None = None,
    ) -> Any:
        """Return the answer's JSON; None for a status in `unless`. Others end the command."""
        url = f"http://{self._place}{path}"
        headers = self._headers | ({} if key is None else {"Idempotency-Key": key})
        try:
            answer = httpx.request(method, url, headers=headers, json=body, timeout=seconds_max)
            if answer.status_code in unless:
                return None
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            fail(f"The service answers {error.response.status_code}: {error.response.text}")
        except httpx.TimeoutException:
            fail(f"The service on {self._place} has not answered in {seconds_max:.0f} seconds.")
        except httpx.HTTPError:
            fail(f"No service answers on {self._place}.")
        return answer.json()


@contextlib.contextmanager
def working(what: str, look: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Show a bar that moves as long as the block; how far it is, only the service knows.

    `look` is asked for that again and again, and may not know. Where nobody watches, nothing is shown.
    """
    if not errors.is_terminal:
        yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        task, ended = progress.add_task(printable(what), total=None), threading.Event()

        def follow() -> None:
            while not ended.wait(LOOK_SECONDS):
                progress.update(task, description=printable(look() or what))

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(LOOK_SECONDS)


@contextlib.contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar as long as the block, which tells it how much is done.

    Where nobody watches, nothing is shown.
    """
    if not errors.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        task = progress.add_task(printable(what), total=total)
        yield lambda done: progress.update(task, completed=done)

"""The command that runs the operators' console, alone or beside the service."""

import contextlib
import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Annotated, Self
from urllib.parse import urlsplit

import typer

from actors.cli.terminal import fail, load_settings
from actors.settings import Settings

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 5.0
NICENESS = 10  # Where cores are short, the service comes first.
WITH_PARENT = "ALLOTMENT_CONSOLE_WITH_PARENT"
"""Set: the console ends with what has started it."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - how who listens everywhere is called
NOT_INSTALLED = "The console's packages are not installed: pip install 'allotment[console]'."


def base_of(url: str | None) -> str | None:
    """Return an address without a path, or refuse it."""
    parts = urlsplit(url or "http://unset")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise typer.BadParameter("give an address such as https://ops.example")
    return url and f"{parts.scheme}://{parts.netloc}"


def console(
    *,
    service: Annotated[
        str | None,
        typer.Option(help="Where the service answers; else as the settings say.", callback=base_of),
    ] = None,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Or the next free one.")] = 8001,
    public_url: Annotated[
        str | None, typer.Option(help="What a proxy in front shows it as.", callback=base_of)
    ] = None,
) -> None:
    """Run the operators' console: pages for a browser, which call the service as any client does.

    It prints an address that signs one browser in, once, where the first admin key is still kept in the
    data directory. Any API key of the scope admin signs in, too.
    """
    try:
        from actors.console.server import (  # noqa: PLC0415 - a group of packages of its own
            CannotListenError,
            serve,
        )
    except ImportError:
        fail(NOT_INSTALLED)
    settings = load_settings()
    if host in ANYWHERE and public_url is None:
        fail(f"{host} is no name that browsers can ask for: give --public-url, too.")
    os.nice(NICENESS)
    try:
        serve(
            service or address_of(settings),
            host,
            port,
            public_url=public_url,
            key=kept_key(settings),
            with_parent=WITH_PARENT in os.environ,
        )
    except CannotListenError as error:
        fail(str(error))


def address_of(settings: Settings) -> str:
    """Return where the service of these settings answers."""
    host = ANYWHERE.get(settings.http_host, settings.http_host)
    return f"http://{host}:{settings.http_port}"


def kept_key(settings: Settings) -> str | None:
    """Return the first admin key, where it is still kept."""
    with contextlib.suppress(OSError):
        return (settings.data_dir / "admin.key").read_text().strip()
    return None


class Beside:
    """The console as a process beside the service, as long as the block. It never keeps that from running."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.greeting = "the console has not started: `allotment console` says why"
        """Where it is, as a line."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "actors", "console"],
            env=os.environ | {WITH_PARENT: "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for the service, which ends it. In a session of its own it would have, where Linux
            # shares the processor by sessions, as much of it as the whole service.
            process_group=0,
        )
        reader = threading.Thread(target=self._read_greeting, daemon=True)
        reader.start()
        reader.join(START_SECONDS_MAX)
        return self

    def _read_greeting(self) -> None:
        assert self._process is not None, "it was started"
        assert self._process.stdout is not None, "it has a pipe"
        self.greeting = self._process.stdout.readline().strip() or self.greeting

    def __exit__(
        self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        assert self._process is not None, "it was started"
        assert self._process.stdin is not None, "it has a pipe"
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def add_console_command(app: typer.Typer) -> None:
    """Add the command that runs the console."""
    app.command()(console)

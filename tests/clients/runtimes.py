"""Bun, Deno, workerd and Next, as `make runtimes` installs them, with the package as it is published."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.clients.node_programs import Server, environment
from tests.clients.typescript import CLIENT, alone, install_package
from tests.patience import PATIENCE_SECONDS

RUNTIMES = CLIENT / "runtimes"
PACKAGES = RUNTIMES / "node_modules"
NEXT = RUNTIMES / "next"
OF_NODE = ("express.js", "mongoose.js", "ai.js", "meter.js", "model_calls.*", "*.d.ts")
"""What of the package a worker has no use for."""
WORKER = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .application),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "main")],
);
const application :Workerd.Worker = (
  modules = [{modules}],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["enable_request_signal"],
  bindings = [(name = "URL", text = "{url}"), (name = "KEY", text = "{key}")],
);
"""


def needs_runtimes() -> None:
    """Skip the test where the runtimes are not installed."""
    if not (PACKAGES / ".package-lock.json").exists():
        pytest.skip("Bun, Deno, workerd and Next are not tried: `make runtimes` installs them")


def install_beside(directory: Path) -> None:
    """Put the package, as it is published, where the runtimes look for packages."""
    installed = install_package(directory)
    target = PACKAGES / "@allotment" / "client"
    with alone():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(installed, target)


def program(pattern: str) -> Path:
    """Return the program of a package that is there for this platform alone."""
    found = sorted(PACKAGES.glob(pattern))
    if not found:
        pytest.skip(f"not tried: there is no {pattern} for this platform")
    return found[0]


def bun(_: Path, url: str, key: str) -> Server:
    command = (program("@oven/*/bin/bun"), RUNTIMES / "serve.mjs")
    return Server(*command, ALLOTMENT_URL=url, ALLOTMENT_KEY=key)


def deno(_: Path, url: str, key: str) -> Server:
    options = ("run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env")
    command = (program("@deno/*/deno"), *options, RUNTIMES / "serve.mjs")
    return Server(*command, ALLOTMENT_URL=url, ALLOTMENT_KEY=key, DENO_NO_UPDATE_CHECK="1")


class Workerd(Server):
    """A worker, whose modules are all named in a configuration: workerd reads no files."""

    def __init__(self, directory: Path, url: str, key: str) -> None:
        self._port = free_port()
        config = directory / "worker.capnp"
        modules = ",\n".join(
            f'(name = "{name}", esModule = embed "{name}")' for name in copied_modules(directory)
        )
        config.write_text(WORKER.format(port=self._port, modules=modules, url=url, key=key))
        command = (program("@cloudflare/workerd-*/bin/workerd"), "serve", "--control-fd=1", config)
        super().__init__(*command, listening='"listen"')

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"


def copied_modules(directory: Path) -> list[Path]:
    """Copy a worker's modules, and return their names: the first one is the worker."""
    hono, client = PACKAGES / "hono" / "dist", PACKAGES / "@allotment" / "client" / "dist" / "esm"
    shutil.copytree(client, directory / "client", ignore=shutil.ignore_patterns(*OF_NODE))
    for part in (hono, hono / "router", hono / "utils", hono / "request", hono / "helper"):
        to = directory / "hono" / part.relative_to(hono)
        for file in part.glob("*.js") if part == hono else part.rglob("*.js"):
            copy = to / file.relative_to(part)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    for file in RUNTIMES.glob("*.mjs"):
        shutil.copy(file, directory)
    found = [file.relative_to(directory) for file in directory.rglob("*.*js")]
    kept = [name for name in found if name.name not in ("serve.mjs", "package.json")]
    return sorted(kept, key=lambda name: (name.name != "worker.mjs", name))


class Next(Server):
    """An application of Next's, built before."""

    def __init__(self, _: Path, url: str, key: str) -> None:
        self._port = free_port()
        where = ("--hostname", "127.0.0.1", "--port", str(self._port))
        there = {"ALLOTMENT_URL": url, "ALLOTMENT_KEY": key, "NEXT_TELEMETRY_DISABLED": "1"}
        super().__init__("node", next_program(), "start", NEXT, *where, listening="Ready", **there)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}/api"


def next_program() -> Path:
    return PACKAGES / "next" / "dist" / "bin" / "next"


def build_next() -> None:
    """Build the application for production."""
    done = subprocess.run(
        ["node", next_program(), "build", NEXT],
        env=environment(NEXT_TELEMETRY_DISABLED="1"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

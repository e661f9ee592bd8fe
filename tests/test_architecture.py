"""The shape of the project, as rules that fail when it bends."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    [*ROOT.glob("domain/**/*.py"), *ROOT.glob("actors/**/*.py"), ROOT / "serve_app.py"]
)
DOMAIN_MAY_IMPORT = {"domain", "pydantic", "pydantic_core"}
VENDORS = {
    "pymongo": ("actors/mongo/",),
    "bson": ("actors/mongo/",),
    "ray": (
        "actors/client/asynchronous.py",
        "actors/remote/options.py",
        "actors/launch.py",
        "actors/remote/local_cluster.py",
        "actors/remote/loopback.py",
        "actors/remote/start_steps.py",
        "actors/cli/cluster.py",
        "actors/remote/metrics.py",
        "actors/remote/rollout.py",
        "actors/remote/nodes.py",
        "actors/remote/shards.py",
        "actors/remote/shard.py",
        "actors/remote/events.py",
        "actors/remote/janitor.py",
        "actors/remote/lists.py",
        "actors/remote/crew.py",
        "actors/remote/stripe.py",
        "actors/remote/supervisor.py",
        "actors/remote/sync.py",
        "actors/serving/deployment.py",
        "actors/remote/start_shard.py",
        "serve_app.py",
    ),
    "stripe": ("actors/stripe/api.py",),
    "croniter": ("actors/janitor/cron.py",),
    "standardwebhooks": ("actors/events/signatures.py",),
    "aiosmtplib": ("actors/events/smtp.py",),
    "fastapi": ("actors/edge/", "serve_app.py"),
}
LINES_MAX = 300


def imported_packages(path: Path) -> set[str]:
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.partition(".")[0])
    return packages


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", sorted(ROOT.glob("domain/**/*.py")), ids=name_of)
def test_the_domain_imports_the_standard_library_and_pydantic_only(path: Path) -> None:
    foreign = imported_packages(path) - DOMAIN_MAY_IMPORT - set(sys.stdlib_module_names)

    assert not foreign


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_each_vendor_is_imported_in_its_own_place_only(path: Path) -> None:
    name = name_of(path)

    packages = imported_packages(path)

    for vendor, places in VENDORS.items():
        if vendor in packages:
            assert name.startswith(places)


def test_only_what_puts_it_on_serve_imports_the_edge() -> None:
    importers = [name_of(path) for path in SOURCES if "serve_app" in imported_packages(path)]

    assert importers == ["actors/serving/deployment.py"]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= LINES_MAX
    assert ast.get_docstring(ast.parse(text))


def test_the_domain_has_no_clock_and_no_waiting() -> None:
    calls = {"now", "today", "utcnow", "time", "monotonic", "sleep"}
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in ROOT.glob("domain/**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in calls
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in {"datetime", "date", "time"}
        )
    ]

    assert not found


def test_no_shipped_code_imports_the_embedded_database() -> None:
    for path in SOURCES:
        assert not imported_packages(path) & {"secantus", "secantusdb", "localstripe"}

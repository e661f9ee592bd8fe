"""The shape of the project, as rules that fail when it bends."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    [*ROOT.glob("domain/**/*.py"), *ROOT.glob("actors/**/*.py"), ROOT / "serve_app.py"]
)
TESTS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py")])
DOMAIN_MAY_IMPORT = {"domain", "pydantic", "pydantic_core"}
VENDORS = {
    "pymongo": ("actors/mongo/",),
    "bson": ("actors/mongo/",),
    "ray": (
        "actors/remote/",
        "actors/serving/",
        "actors/client/asynchronous.py",
        "actors/cli/cluster.py",
        "actors/launch.py",
        "serve_app.py",
    ),
    "stripe": ("actors/stripe/api.py",),
    "croniter": ("actors/janitor/cron.py",),
    "standardwebhooks": ("actors/events/signatures.py",),
    "aiosmtplib": ("actors/events/smtp.py",),
    "fastapi": ("actors/edge/",),
    "jinja2": ("actors/console/",),
    "opentelemetry": ("actors/runtime/otlp.py",),
}
LINES_MAX = 300
FLOORS = (
    ("domain",),
    ("domain.documents",),
    ("domain.api",),
    ("actors.protocol", "actors.console"),
    ("actors.runtime", "actors.auth"),
    ("actors.shard",),
    ("actors.sync", "actors.stripe", "actors.events", "actors.janitor"),
    ("actors.cluster", "actors.routing"),
    ("actors.edge",),
    ("actors.mongo",),
    ("actors.settings",),
    ("actors.remote",),
    ("actors.serving", "actors.client", "actors.embedded"),
    ("actors.launch",),
    ("actors.cli",),
    ("actors.__main__", "serve_app"),
)
"""The rooms from the ground up: each imports rooms of lower floors, none of its own floor."""
CLOSED = {"actors.mongo": {"actors.edge", "actors.routing"}}
"""What a room may not import, though it is below: the adapter knows the plain logic's ports only."""
TOP = {"__init__", "__main__", "launch", "settings"}
PORTS = {
    "actors.events.mail.Mailer": "mail leaves the service in `smtp`, the adapter of aiosmtplib",
    "actors.events.webhooks.Post": "requests leave the service in `http_client`",
    "actors.stripe.api.StripeApi": "what Stripe says, as its adapter in the same file reads it",
    "actors.embedded.keeper.Wire": "the tests of the keeper put their own in its place, and spoil it",
    "domain.documents.subscriptions._Decimal128": "bson's, which the domain does not import",
}
"""The Protocols that one class of ours in reach implements, or none at all, and why there are such."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


MODULES = {module_of(path): path for path in [*SOURCES, *TESTS]}


def room_of(module: str) -> str:
    first, _, rest = module.partition(".")
    if first == "actors" or (first == "domain" and "." in rest):
        return f"{first}.{rest.partition('.')[0]}" if rest else first
    if first == "domain" and MODULES.get(module, ROOT).name == "__init__.py" and rest:
        return module
    return first


def imported_packages(path: Path) -> set[str]:
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.partition(".")[0])
    return packages


def imported_modules(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """Yield the modules of ours that a file imports; or only those it needs to be imported."""
    tree = ast.parse(path.read_text())
    for node in tree.body if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def classes_of(module: str, path: Path) -> Iterator[tuple[str, ast.ClassDef]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            yield f"{module}.{node.name}", node


CLASSES = dict(pair for path in SOURCES for pair in classes_of(module_of(path), path))


def bases_of(name: str) -> set[str]:
    """Return the full names of a class's bases, those of ours and `typing.Protocol`."""
    module = name.rpartition(".")[0]
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    bases = (b.value if isinstance(b, ast.Subscript) else b for b in CLASSES[name].bases)
    names = {ast.unparse(base) for base in bases}
    return {imported.get(base, f"{module}.{base}") for base in names}


PROTOCOLS = {name for name in CLASSES if "typing.Protocol" in bases_of(name)}

Members = dict[str, frozenset[str] | None]
"""Names, those of methods with the names of their arguments."""


@cache
def members_of(name: str) -> Members:
    """Return what a class has, also from bases of ours, and what its methods set of `self`."""
    members: Members = {}
    for base in bases_of(name) & CLASSES.keys():
        members |= members_of(base)
    for node in ast.walk(CLASSES[name]):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            members[node.attr] = None
    for node in CLASSES[name].body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            is_property = any(ast.unparse(one) == "property" for one in node.decorator_list)
            members[node.name] = None if is_property else frozenset(a.arg for a in arguments)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            members |= dict.fromkeys(ast.unparse(target) for target in targets)
    return members


def implements(members: Members, wanted: Members) -> bool:
    return wanted.keys() <= members.keys() and all(
        arguments is None or arguments <= (members[name] or frozenset())
        for name, arguments in wanted.items()
    )


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


@pytest.mark.parametrize("room", [room for floor in FLOORS for room in floor])
def test_a_room_imports_only_what_is_below_it(room: str) -> None:
    number = next(number for number, floor in enumerate(FLOORS) if room in floor)
    below = {other for floor in FLOORS[:number] for other in floor} | {room}

    upwards = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        if room_of(module) == room
        for imported in imported_modules(path)
        if room_of(imported) not in below - CLOSED.get(room, set())
    ]

    assert not upwards


def test_every_module_is_in_a_room() -> None:
    rooms = {room for floor in FLOORS for room in floor} | {"actors", "tests", "bench"}

    assert {room_of(module) for module in MODULES} == rooms
    assert {path.stem for path in ROOT.glob("actors/*.py")} == TOP


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {m: set(imported_modules(p, at_import=True)) - {m} for m, p in MODULES.items()}
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        left = {module: needs for module, needs in left.items() if module not in free}

    assert not left


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_is_imported(path: Path) -> None:
    tests = [m for m in imported_modules(path) if m.rpartition(".")[2].startswith("test_")]

    assert not tests


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.name == "__init__.py"], ids=name_of
)
def test_a_folder_says_what_it_owns_and_where_to_begin(path: Path) -> None:
    told = ast.get_docstring(ast.parse(path.read_text()))

    assert told is not None
    assert 3 <= len(told.splitlines()) <= 10
    for word in ("actors", "domain"):
        assert f"{word}/" not in told  # Names are relative to the folder.
    assert "egin at" in told
    classes = {name.rpartition(".")[2] for name in CLASSES}
    for word in re.findall(r"`([^`]+)`", told):
        files = [folder / word for folder in (path.parent, path.parent.parent)]
        is_file = any(f.exists() or f.with_name(f"{f.name}.py").exists() for f in files)
        assert is_file or word in {"allotment", *MODULES} or word.partition(".")[0] in classes, word


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= LINES_MAX
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_no_protocol_only_mirrors_a_class_that_may_be_imported(protocol: str) -> None:
    """Whoever needs the class takes the class: a Protocol is for what is above, or for several."""
    wanted = members_of(protocol)
    room = room_of(protocol.rpartition(".")[0])
    number = next(number for number, floor in enumerate(FLOORS) if room in floor)
    below = {other for floor in FLOORS[:number] for other in floor} | {room}

    found = [name for name in CLASSES.keys() - PROTOCOLS if implements(members_of(name), wanted)]
    in_reach = [name for name in found if room_of(name.rpartition(".")[0]) in below]

    assert (not found or found == in_reach[:1]) == (protocol in PORTS), found


def test_every_port_is_a_protocol_that_is_there() -> None:
    assert PORTS.keys() <= PROTOCOLS


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

"""The pages say what is there: each setting, command, route, error, path and link."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from actors.edge.problems import STATUS
from actors.settings import Settings
from tests.docs.pictures import FOLDER, PICTURES
from tests.docs.reference import openapi_document

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md"])
UNSET = {"shards", "stripe_api_base"}  # Their default is a sentence.
LINES_MAX = {"README.md": 150, "docs/design.md": 250}
CLUMSY = (
    r"\banew\b|\bfor ever\b|in the place of\b|\bwhoever\b|\bsomebody\b|\bcome[s]? to a stand\b|be it that"
    r"|of which there is one\b|are told of by\b"
)
CONFLICT = re.compile(r"^(?:<{7} |={7}$|>{7} )", re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


# --- settings -------------------------------------------------------------------------------

SETTINGS = {
    name.lower(): default
    for name, default in re.findall(
        r"^\| `ALLOTMENT_(\w+)` \| (.*?) ?\|", text_of("docs/settings.md"), re.MULTILINE
    )
}


def test_the_page_of_settings_has_each_once_and_no_other() -> None:
    names = re.findall(r"^\| `ALLOTMENT_(\w+)` \|", text_of("docs/settings.md"), re.MULTILINE)

    assert sorted(names) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - UNSET))
def test_the_default_of_a_setting_is_the_one_on_the_page(name: str) -> None:
    default = Settings.model_fields[name].default
    shown = SETTINGS[name].strip("`")

    if default in (None, (), "") or (hasattr(default, "get_secret_value") and not default):
        assert shown == ""
    elif isinstance(default, bool):
        assert shown in ({"true", "1"} if default else {"false", "0"})
    elif isinstance(default, float):
        assert float(shown) == default
    else:
        assert shown == str(default)


# --- commands -------------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    """Return every command of `allotment` by its words, as Typer makes them."""
    scripts = tomllib.loads(text_of("pyproject.toml"))["project"]["scripts"]
    module = importlib.import_module(scripts["allotment"].partition(":")[0])

    def below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        within = getattr(command, "commands", None)
        if within is None:
            yield words, command
        for name, one in (within or {}).items():
            yield from below(f"{words} {name}", one)

    return dict(below("allotment", typer.main.get_command(module.app)))


COMMANDS = commands()


def test_the_page_of_commands_has_each_and_no_other() -> None:
    rows = re.findall(r"^\| `allotment ([a-z -]+)", text_of("docs/commands.md"), re.MULTILINE)

    assert sorted(f"allotment {row.split(' --')[0].strip()}" for row in rows) == sorted(COMMANDS)


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_commands_take_json_but_those_that_the_page_names(words: str) -> None:
    (exceptions,) = re.findall(
        r"^All but (.*) take `--json`", text_of("docs/commands.md"), re.MULTILINE
    )
    options = {option for one in COMMANDS[words].params for option in one.opts}

    assert ("--json" in options) == (f"`{words.removeprefix('allotment ')}`" not in exceptions)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_of_a_command_on_a_page_is_one_it_takes(page: Path) -> None:
    for line in re.findall(r"\ballotment ([a-z][^`\n|]*)", page.read_text()):
        words = line.split()
        fitting = [name for name in COMMANDS if name.split()[1:] == words[: len(name.split()) - 1]]
        if not fitting:
            continue  # A sentence about Allotment, or a part of a command's name.
        known = {option for one in COMMANDS[fitting[0]].params for option in one.opts}
        for option in re.findall(r"(?<!\S)--[a-z-]+", line):
            flags = {flag for one in COMMANDS[fitting[0]].params for flag in one.secondary_opts}
            assert option in known | flags | {"--help"}, f"allotment {line}"


# --- HTTP -----------------------------------------------------------------------------------


def test_the_page_of_http_has_every_operation_and_no_other() -> None:
    rows = re.findall(
        r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?]*)[^`]*`", text_of("docs/http.md").split("## Who")[0]
    )
    document: dict[str, Any] = openapi_document()
    operations = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    } | {
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/portal"),
        ("GET", "/embed/allotment.js"),
    }

    def plain(path: str) -> str:
        return re.sub(r"\{\w+\}", "{}", path)

    assert {(m, plain(p)) for m, p in rows} == {(m, plain(p)) for m, p in operations}


@pytest.mark.parametrize("code", STATUS)
def test_every_error_is_on_the_page_with_its_status(code: str) -> None:
    rows = re.findall(r"^\| ([\d ·]+) \| (.*) \|$", text_of("docs/http.md"), re.MULTILINE)

    assert [
        status for status, codes in rows if f"`{code}`" in codes and str(STATUS[code]) in status
    ]


# --- paths and links ------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(
        r"(?<![\w/.$:-])((?:actors|domain|tests|bench|docs|deploy|\.ci)/[\w./-]*\w)",
        page.read_text(),
    )
    modules = re.findall(r"python3? -m ((?:tests|bench)[\w.]*\w)", page.read_text())

    for path in named:
        assert (ROOT / path).exists(), path
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_class_that_the_tour_names_is_there() -> None:
    code = "\n".join(
        source.read_text()
        for folder in ("actors", "domain")
        for source in ROOT.glob(f"{folder}/**/*.py")
    )
    for name, member in re.findall(r"`([A-Z][A-Za-z]+)(?:\.(\w+))?`", text_of("docs/design.md")):
        assert re.search(rf"^class {name}\b", code, re.MULTILINE), name
        assert not member or re.search(rf"^    (?:async )?def {member}\b", code, re.MULTILINE), (
            member
        )


def test_every_function_that_the_tour_names_is_there_and_takes_what_it_says() -> None:
    functions = {
        node.name: ", ".join(one.arg for one in node.args.args)
        for folder in ("actors", "domain")
        for source in ROOT.glob(f"{folder}/**/*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    signatures = re.findall(r"`([a-z_]+)\(([^`]*)\)`", text_of("docs/design.md"))

    assert signatures
    for name, arguments in signatures:
        assert functions.get(name) == arguments
    for name in re.findall(r"`([a-z]+_[a-z_]+)`", text_of("docs/design.md")):
        assert name in functions or name.startswith("allotment_"), name


def anchors(page: Path) -> set[str]:
    """Return what GitHub, and the site, call the headings of a page."""
    plain = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_is_reached_from_the_readme() -> None:
    links = re.findall(r"\((docs/[\w-]+\.md)", text_of("README.md") + text_of("docs/design.md"))
    links += [f"docs/{name}" for name in re.findall(r"\(([\w-]+\.md)", text_of("docs/design.md"))]

    assert {name_of(page) for page in DOCS.glob("*.md")} <= set(links)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "decisions.md"], ids=name_of)
def test_every_target_of_make_that_a_page_names_is_one(page: Path) -> None:
    targets = re.findall(r"^([\w.$()/-]+):", text_of("Makefile"), re.MULTILINE)

    for target in re.findall(r"`make ([a-z]+)\b", page.read_text()):
        assert target in targets, target


# --- how it reads ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINES_MAX)
def test_what_is_read_first_is_short(name: str) -> None:
    assert len(text_of(name).splitlines()) <= LINES_MAX[name]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_uses_a_phrase_that_readers_stumble_over(page: Path) -> None:
    assert not re.findall(CLUMSY, page.read_text(), re.IGNORECASE)


# --- pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_no_page_shows_two_versions_of_a_merge(page: Path) -> None:
    assert CONFLICT.findall(page.read_text()) == []


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: str(picture.name))
def test_a_picture_is_the_one_that_is_drawn_and_on_a_page(picture: Any) -> None:
    """`python -m tests.docs.pictures` draws them again."""
    assert (FOLDER / f"{picture.name}.svg").read_text() == picture.svg()
    assert any(f"pictures/{picture.name}.svg" in page.read_text() for page in PAGES)


def test_there_is_no_picture_that_nobody_draws() -> None:
    assert {path.stem for path in FOLDER.glob("*.svg")} == {one.name for one in PICTURES}

"""The TypeScript client: true to the document, tried on the whole interface, packed as it is used."""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.auth.caller import Scope
from actors.edge.problems import STATUS
from domain.events import EventType
from tests.clients.typescript import (
    CLIENT,
    ROOT,
    TYPES,
    document,
    install_package,
    needs_node,
    run,
    written_types,
)
from tests.fakes.interface import listening

SOURCE = CLIENT / "src"
NOBODYS_CALLS = {"/stripe/webhook", "/healthz", "/docs", "/openapi.json"}
"""Operations for Stripe, for probes and for readers: no method of the client is for them."""
ENTRIES = ("index", "express", "hono", "next", "ai", "mongoose")


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return document()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package as it is installed in an application, with the tools of the client."""
    return install_package(tmp_path_factory.mktemp("application"))


def words(file: str, name: str) -> set[str]:
    """Return the texts in the list, the set or the object of this name."""
    text = (SOURCE / file).read_text()
    (found,) = re.findall(rf"{name}\b[^=]*= [^;]*?[\[{{](.*?)[\]}}]", text, re.DOTALL)
    return set(re.findall(r"[\w.]+(?=\"|:)", found))


def objects_of(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what of a schema is an object with any names, by the property that has it."""
    for name, found in schema.get("properties", {}).items():
        for choice in (found, *found.get("anyOf", ())):
            if "additionalProperties" in choice:
                yield name, choice["additionalProperties"]


def test_the_types_are_those_of_the_document(tmp_path: Path) -> None:
    needs_node()
    written_types(tmp_path / "openapi.ts", tmp_path)

    assert (tmp_path / "openapi.ts").read_text() == TYPES.read_text(), (
        "write them again: python -m tests.clients.typescript"
    )


def test_every_operation_has_a_method(whole: dict[str, Any]) -> None:
    source = "".join(file.read_text() for file in SOURCE.glob("*.ts") if file != TYPES)
    texts = re.findall(r'"(/[\w/-]+)"|`(/[^`?]+?)(?:\$\{queryText[^`]*)?`', source)
    asked = {re.sub(r"\$\{[^}]*\}", "{}", first or second) for first, second in texts}

    assert {re.sub(r"\{[^}]*\}", "{}", path) for path in whole["paths"]} - NOBODYS_CALLS <= asked


def test_names_that_are_data_keep_their_spelling(whole: dict[str, Any]) -> None:
    opaque, keyed = words("casing.ts", "OPAQUE_FIELDS"), words("casing.ts", "KEYED_FIELDS")
    for schema in whole["components"]["schemas"].values():
        for name, values in objects_of(schema):
            ours = isinstance(values, dict) and "$ref" in values
            assert name in (keyed if ours else opaque)


def test_every_code_has_a_class_and_every_event_its_type() -> None:
    assert words("errors.ts", "ERRORS_BY_CODE") == set(STATUS)
    assert words("answers.ts", "EVENT_TYPES") == set(map(str, EventType))


def test_what_it_needs_is_locked_without_addresses() -> None:
    described = json.loads((CLIENT / "package.json").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert described["version"] == version
    assert "dependencies" not in described
    for folder in (CLIENT, CLIENT / "runtimes"):
        lock = (folder / "package-lock.json").read_text()
        assert '"resolved"' not in lock
        for path, found in json.loads(lock)["packages"].items():
            assert not path or found.get("optional") or found["integrity"]


def test_it_does_what_its_tests_say() -> None:
    needs_node()
    run("node", "scripts/test.mjs", "unit")


def test_it_does_all_of_it_on_the_whole_interface() -> None:
    needs_node()
    with listening() as interface:
        there = {
            "ALLOTMENT_URL": interface.address,
            "ALLOTMENT_KEY": interface.keys[Scope.ADMIN],
            "ALLOTMENT_IN_MEMORY": "1",
        }
        run("node", "scripts/test.mjs", "integration", "service", env=os.environ | there)


def test_the_package_has_its_code_twice_and_nothing_else(package: Path) -> None:
    sources = [file.stem for file in SOURCE.glob("*.ts")]
    expected = {"package.json", "README.md", "LICENSE"}
    for kind in ("esm", "cjs"):
        expected |= {f"dist/{kind}/package.json"}
        expected |= {f"dist/{kind}/{name}{end}" for name in sources for end in (".js", ".d.ts")}
    found = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}

    assert found == expected
    assert "Apache License" in (package / "LICENSE").read_text()


def test_both_kinds_of_module_give_the_same(package: Path) -> None:
    program = """
        const required = require("@allotment/client");
        import("@allotment/client").then((imported) => {
          const names = Object.keys(imported).filter((name) => name !== "default").sort();
          const others = Object.keys(required).filter((name) => name !== "default").sort();
          if (names.join() !== others.join() || !names.includes("Allotment")) throw new Error(names);
          new imported.Allotment({ baseUrl: "http://127.0.0.1", apiKey: "k" });
          new required.Allotment({ baseUrl: "http://127.0.0.1", apiKey: "k" });
        });
    """
    application = package.parents[2]
    (application / "program.cjs").write_text(program)

    run("node", str(application / "program.cjs"))


@pytest.mark.parametrize("kind", ["module", "commonjs"])
def test_an_application_of_either_kind_is_checked_against_its_types(
    package: Path, kind: str
) -> None:
    application = package.parents[2]
    place = application / kind
    place.mkdir()
    (place / "package.json").write_text(json.dumps({"type": kind}))
    (place / "application.ts").write_text(
        """
        import { Allotment, InsufficientCredits } from "@allotment/client";
        const allotment = new Allotment({ baseUrl: "http://127.0.0.1", apiKey: "k" });
        export async function charge(): Promise<number | Date | null> {
          try {
            return (await allotment.charge("ada", { serviceType: "s", creditAmount: 1 })).creditAmount;
          } catch (error) {
            if (error instanceof InsufficientCredits) return error.availableAt;
            throw error;
          }
        }
        // @ts-expect-error - an amount is a number
        void allotment.charge("ada", { serviceType: "s", creditAmount: "1" });
        """
    )
    options = {
        "strict": True,
        "noEmit": True,
        "module": "nodenext",
        "target": "es2022",
        "types": [],
    }
    (place / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))

    run("npx", "tsc", "--project", str(place))


def test_the_core_runs_where_there_is_nothing_but_the_web(package: Path) -> None:
    """What edge runtimes have is there, and nothing of Node's."""
    program = Path(__file__).with_name("web_alone.cjs")

    said = run("node", str(program), str(package / "dist" / "cjs"))

    assert json.loads(said) == {"remainingCredits": 60, "asked": 2, "events": ["evt_1"]}
    for file in (package / "dist" / "esm").glob("*.js"):
        if file.stem not in ENTRIES[1:]:
            assert not re.search(r"\bnode:|\brequire\(|\bprocess\.|\bBuffer\b", file.read_text())

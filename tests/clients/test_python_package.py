"""What the client's package has in it, and what it needs: httpx, and nothing of the service."""

import ast
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"
MODULES = sorted((CLIENT / "src" / "allotment_client").glob("*.py"))
PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
MAY_IMPORT = {"allotment_client", "httpx"}
ADAPTERS = {
    "fastapi.py": {"fastapi", "starlette"},
    "litellm.py": {"litellm", "fastapi"},  # The proxy's own.
}
LINES_MAX = 300
# What `python -m build --no-isolation` does.
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"


def imported_packages(path: Path) -> set[str]:
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.partition(".")[0])
    return packages


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_imports_httpx_and_an_adapter_its_vendor(path: Path) -> None:
    vendors = ADAPTERS.get(path.name, set())

    foreign = imported_packages(path) - MAY_IMPORT - vendors - set(sys.stdlib_module_names)

    assert not foreign


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_can_be_read_in_one_sitting_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= LINES_MAX
    assert ast.get_docstring(ast.parse(text))


def test_the_client_alone_loads_no_adapter() -> None:
    script = "import sys, allotment_client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(CLIENT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(done.stdout.split())
    assert not loaded & {"fastapi", "openai", "litellm", "pydantic", "ray", "actors", "domain"}


def test_it_needs_httpx_alone_and_excludes_the_compromised_release() -> None:
    assert PROJECT["dependencies"] == ["httpx>=0.27,<1"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert "!=1.107.*" in PROJECT["optional-dependencies"]["litellm"][0]


def test_the_packages_have_the_modules_their_types_and_the_licence(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((CLIENT / name).read_bytes())
    folder = tmp_path / "src" / "allotment_client"
    folder.mkdir(parents=True)
    for path in [*MODULES, CLIENT / "src" / "allotment_client" / "py.typed"]:
        (folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "dist").mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    (wheel,), (sdist,) = (tmp_path / "dist").glob("*.whl"), (tmp_path / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        metadata = files.read("allotment_client-0.1.0.dist-info/METADATA").decode()
    with tarfile.open(sdist) as files:
        sources = {name.partition("/")[2] for name in files.getnames()}
    modules = {f"allotment_client/{path.name}" for path in MODULES}
    info = {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE", "top_level.txt"}
    assert names == {
        *modules,
        "allotment_client/py.typed",
        *(f"allotment_client-0.1.0.dist-info/{name}" for name in info),
    }
    assert {f"src/{name}" for name in modules} <= sources
    assert {"LICENSE", "README.md", "pyproject.toml", "src/allotment_client/py.typed"} <= sources
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Dist: httpx" in metadata
    assert metadata.count("Requires-Dist:") == metadata.count("; extra ==") + 1

"""Nothing is installed but what a lock names by its hash, and tests' tools only where tests run."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
RUN_TIME = ROOT / "requirements.lock"
DEVELOPMENT = ROOT / "requirements-dev.lock"
LOCKS = sorted([*ROOT.glob("*.lock"), *ROOT.glob(".ci/*.lock"), *ROOT.glob("clients/*/*.lock")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["project"]["optional-dependencies"]
DEPENDENCIES = [
    *PROJECT["build-system"]["requires"],
    *PROJECT["project"]["dependencies"],
    *GROUPS["console"],
    *GROUPS["otel"],
]
TOOLS = GROUPS["dev"]


class Locked(NamedTuple):
    """One requirement of a lock."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked(lock: Path) -> Iterator[Locked]:
    """Read a lock. Every line that is no comment has to be a requirement or its hashes."""
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines():
        found = re.fullmatch(r"([\w.-]+)==([\w.!+]+)( *;[^#]*?)?((?: +--hash=\S+)*) *", line)
        assert found, f"{lock.name}: {line[:80]}"
        yield Locked(canonicalize_name(found[1]), found[2], tuple(found[4].split()))


def names(lock: Path) -> set[str]:
    return {one.name for one in locked(lock)}


def names_of(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in requirements}


def test_there_are_locks_for_all_that_is_installed() -> None:
    assert {lock.name for lock in LOCKS} == {
        "requirements.lock",
        "requirements-dev.lock",
        "secantus.lock",
        "secantus-python.lock",
        "tools.lock",
        "adapters.lock",
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_exact_and_has_hashes(lock: Path) -> None:
    requirements = list(locked(lock))

    assert requirements
    for one in requirements:
        assert one.hashes, one.name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in one.hashes)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_lock_names_an_index_or_an_address(lock: Path) -> None:
    assert not re.search(r"://|index-url|find-links|trusted-host|@ ", lock.read_text())


def test_every_dependency_is_locked_in_a_version_that_it_allows() -> None:
    for lock, wanted in ((RUN_TIME, DEPENDENCIES), (DEVELOPMENT, [*DEPENDENCIES, *TOOLS])):
        versions = {one.name: one.version for one in locked(lock)}
        for requirement in map(Requirement, wanted):
            version = versions[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{lock.name}: {requirement}"


def test_nothing_that_only_tests_need_is_installed_in_production() -> None:
    assert not names(RUN_TIME) & names_of(TOOLS)
    assert not names_of(TOOLS) & names_of(DEPENDENCIES)


def test_tests_run_with_the_very_files_of_production() -> None:
    assert set(locked(RUN_TIME)) < set(locked(DEVELOPMENT))


def test_everything_that_is_installed_is_checked_against_a_lock() -> None:
    """Only the package itself is not: it is built here, by the locked setuptools."""
    variables = {
        "$(LOCKED)": "$(PIP) --require-hashes --only-binary=:all:",
        "$(PIP)": "pip install",
    }
    makefile = (ROOT / "Makefile").read_text().partition("\n\n.PHONY")[2]
    for name, meaning in variables.items():
        makefile = makefile.replace(name, meaning)
    installs = re.findall(r"pip install.*", makefile + "\n".join(commands_of_nodes()))

    assert len(installs) == 9
    for command in installs:
        if "--editable" in command:
            assert "--no-deps --no-build-isolation" in command
        else:
            assert "--require-hashes --only-binary=:all:" in command
            assert re.search(r"-r \S+\.lock", command)


def test_nodes_of_a_cluster_install_what_runs_and_no_more() -> None:
    assert re.findall(r"\S+\.lock", "\n".join(commands_of_nodes())) == [
        "/opt/allotment/requirements.lock"
    ]


def commands_of_nodes() -> list[str]:
    commands: list[str] = yaml.safe_load((ROOT / "cluster.yaml").read_text())["setup_commands"]
    return commands

"""What runs elsewhere names what is here: it cannot be tried where there are no containers."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPT = (ROOT / ".ci" / "replica_set").read_text()


def commands(workflow: Path) -> list[str]:
    """Return what the steps of a workflow run."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_there_is_a_workflow() -> None:
    assert WORKFLOWS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_path_that_a_workflow_names_is_there(workflow: Path) -> None:
    for command in commands(workflow):
        for path in re.findall(r"(?:tests|\.ci)/[\w/.]+", command):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_trouble_that_a_workflow_makes_is_known(workflow: Path) -> None:
    for trouble in re.findall(r"replica_set amid ([\w-]+)", "\n".join(commands(workflow))):
        assert f"\n{trouble}() {{" in SCRIPT

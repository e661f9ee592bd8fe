"""The files of `deploy/` fit the repository, as far as that can be told without Docker."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from actors.edge.gate import OPEN
from actors.remote.metrics import LEVELS
from actors.runtime import counters
from actors.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PINNED = re.compile(r"^[a-z./-]+:v?\d+\.\d+\.\d+(-[a-z-]+)?$")
PARTS = {
    "shard": counters.Counters,
    "sync": counters.SyncCounters,
    "stripe": counters.StripeCounters,
    "endpoint": counters.EventCounters,
    "operation": counters.OperationCounters,
}
METRIC = re.compile(r"\bray_[a-z_]+")


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each on one line."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in whole.splitlines() if line.strip()]
    return [(name, rest) for name, rest in pairs]


def of(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def test_the_image_is_made_of_what_is_there() -> None:
    for rest in of("COPY"):
        *sources, _ = rest.split()
        assert all((ROOT / source).exists() for source in sources), rest

    assert "--require-hashes" in DOCKERFILE
    assert [bool(PINNED.match(image)) for image in of("FROM")] == [True]


def test_everything_that_is_imported_comes_into_the_image() -> None:
    copied = {source for rest in of("COPY") for source in rest.split()[:-1]}

    assert {"actors", "domain", "serve_app.py", "pyproject.toml", "README.md", "LICENSE"} <= copied


def test_the_image_runs_as_nobody_special_and_says_whether_it_can_serve() -> None:
    (user,), (health,) = of("USER"), of("HEALTHCHECK")
    names = [name for name, _ in instructions()]
    ports = set(re.findall(r"127\.0\.0\.1:(\d+)", health))

    assert int(user) > 0
    assert (
        settings().get("ALLOTMENT_RAY_DASHBOARD", "true") == "true"
    )  # It lists the metrics' ports.
    assert names.index("USER") < names.index("CMD")
    assert set(re.findall(r"127\.0\.0\.1:\d+(/[a-z]+)", health)) <= OPEN
    assert ports == set(of("EXPOSE")) == {settings()["ALLOTMENT_HTTP_PORT"]}


def settings() -> dict[str, str]:
    """Return all that the files set in the environment of the service."""
    pairs = dict(re.findall(r"([A-Z_]+)=(\S+)", " ".join(of("ENV"))))
    return pairs | {k: str(v) for k, v in SERVICES["allotment"]["environment"].items()}


def test_every_setting_is_one_and_has_a_value_that_is_taken() -> None:
    ours = {k.removeprefix("ALLOTMENT_").lower(): v for k, v in settings().items() if "ALLOT" in k}

    assert ours.keys() <= Settings.model_fields.keys()
    read = Settings(_env_file=None, **ours)  # type: ignore[arg-type]
    assert read.mongo_uri is not None
    uri = read.mongo_uri.get_secret_value()
    assert set(re.findall(r"mongo-\d", uri)) == {n for n in SERVICES if re.match(r"mongo-\d", n)}
    assert len(uri.split(",")) == 3


def test_images_are_pinned_and_ports_are_this_machines_alone() -> None:
    for name, service in SERVICES.items():
        assert "image" not in service or PINNED.match(service["image"]), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
    assert all("ports" not in service for name, service in SERVICES.items() if "mongo" in name)
    assert COMPOSE["networks"]["database"]["internal"]


def test_what_is_mounted_and_waited_for_is_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
        for mounted in service.get("volumes", ()):
            source = mounted.partition(":")[0]
            known = source in COMPOSE["volumes"] or (DEPLOY / source).is_file()
            assert known, mounted
    assert SERVICES["prometheus"]["user"] in of("USER")  # The data directory is its owner's alone.


def texts(value: object) -> Iterator[tuple[str, str]]:
    """Yield every named text of a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str):
                yield str(name), inner
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def test_no_secret_is_in_any_file() -> None:
    named = re.compile("password|secret|token|key", re.IGNORECASE)
    for name, text in texts(COMPOSE):
        assert not named.search(name) or text.startswith("${"), name
        assert not re.search(r"//[^/@\s]+:[^/@\s]+@", text), name
    assert not [name for name in settings() if named.search(name)]


def exported() -> set[str]:
    """Return the names under which all that we count is exported."""
    names = {
        f"ray_allotment_{part}_{field.name}" + ("" if field.name in LEVELS else "_total")
        for part, kind in PARTS.items()
        for field in fields(kind)
    }
    sweeps = {f"ray_allotment_sweep_{name}" for name in ("drift", "checked", "quarantined")}
    return names | sweeps | {"ray_allotment_prices_invalid"}


def asked_of(file: str) -> set[str]:
    return set(METRIC.findall((DEPLOY / "grafana" / file).read_text()))


def lost(ours: object, theirs: object, path: str = "") -> Iterator[str]:
    """Yield the paths of what is in our document and not, or otherwise, in theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, inner in ours.items():
            yield from lost(inner, theirs.get(name), f"{path}/{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (inner, known) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(inner, known, f"{path}/{number}")
    elif ours != theirs:
        yield path


def test_grafana_knows_every_field_of_the_board() -> None:
    """Read by Grafana's own models and written again, it is the same; a field they do not know is lost."""
    board = json.loads((DEPLOY / "grafana" / "board.json").read_text())
    unknown = board | {"panels": [board["panels"][0] | {"fieldConfigs": {}}, *board["panels"][1:]]}
    register_default_plugins()

    def as_known(document: Any) -> Any:
        return json.loads(JSONEncoder().encode(Dashboard.from_json(document)))

    assert list(lost(unknown, as_known(unknown))) == ["/panels/0/fieldConfigs"]
    assert list(lost(board, as_known(board))) == []


@pytest.mark.parametrize("file", ["board.json", "alerts.yaml"])
def test_every_metric_is_one_that_we_count(file: str) -> None:
    assert asked_of(file)
    assert asked_of(file) <= exported()


def test_the_board_and_the_rules_are_whole() -> None:
    board = json.loads((DEPLOY / "grafana" / "board.json").read_text())
    rules = yaml.safe_load((DEPLOY / "grafana" / "alerts.yaml").read_text())["groups"][0]["rules"]
    sources = yaml.safe_load((DEPLOY / "grafana" / "sources.yaml").read_text())["datasources"]

    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == sources[0]["uid"]
        assert all(balanced(target["expr"]) for target in panel["targets"]), panel["title"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert balanced(rule["expr"])
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"page", "warn"}


def balanced(expression: str) -> bool:
    return all(expression.count(a) == expression.count(b) for a, b in ("()", "{}", "[]"))

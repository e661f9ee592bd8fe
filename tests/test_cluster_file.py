"""The files for a cluster are ones that Ray takes."""

import subprocess
import sys
from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from actors.remote.environment import cluster_environment

ROOT = Path(__file__).parents[1]


def test_rays_own_schema_takes_the_cluster_file() -> None:
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())

    validate_config(prepare_config(config))

    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [line for line in starts if "ray start" in line]
    assert len(starts) == 2
    for line in starts:
        before, _, _ = line.partition("ray start")
        assert "allotment environment" in before  # Each line is a shell of its own.
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"]


def test_a_node_of_a_cluster_starts_ray_with_tokens_and_quick_health_checks() -> None:
    variables = cluster_environment()

    silence = int(variables["RAY_health_check_failure_threshold"]) * sum(
        int(variables[f"RAY_health_check_{part}_ms"]) for part in ("period", "timeout")
    )
    assert variables["RAY_AUTH_MODE"] == "token"
    assert silence == 12_000


def test_serves_own_schema_takes_the_file_for_serve_deploy() -> None:
    """In a process of its own: Serve warns when it is imported."""
    script = (
        "import sys, yaml; from ray.serve.schema import ServeDeploySchema;"
        "config = ServeDeploySchema.model_validate(yaml.safe_load(sys.stdin));"
        "print(*[one.import_path for one in config.applications])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        input=(ROOT / "serve.yaml").read_text(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["serve_app:app"]


def test_the_example_for_kubernetes_sets_what_a_node_needs_on_head_and_workers() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "kuberay.yaml").read_text())
    cluster = config["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    wanted = cluster_environment()
    own_paths = {"RAY_SERVE_HAPROXY_BINARY_PATH", "ALLOTMENT_HAPROXY_BINARY"}

    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        given = {one["name"]: one.get("value") for one in container["env"]}
        assert given.keys() >= wanted.keys() | {"ALLOTMENT_MONGO_URI"}
        assert all(given[name] == wanted[name] for name in wanted.keys() - own_paths)
    serve = yaml.safe_load(config["spec"]["serveConfigV2"])
    assert serve == yaml.safe_load((ROOT / "serve.yaml").read_text())

"""The cluster file is one that Ray's launcher takes."""

from pathlib import Path

import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]


def test_rays_own_schema_takes_the_cluster_file() -> None:
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())

    validate_config(prepare_config(config))

    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all(
        "RAY_AUTH_MODE=token" in line and "RAY_SERVE_ENABLE_HA_PROXY=1" in line
        for line in starts
        if "ray start" in line
    )

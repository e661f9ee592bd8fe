"""What the run itself does inside the service's Ray cluster, before anything is measured."""

import logging
import os

from pydantic import SecretStr
from rich.console import Console

from actors.remote import environment
from actors.remote.loopback import join
from actors.settings import Settings
from bench.processes import Service, clean_environment
from bench.progress import begin, long_step

SEED_SECONDS_MAX = 60.0  # How long one payment may take while all users are seeded at once.


def prepare_cluster(service: Service, users: int, console: Console) -> None:
    """Join, deploy what is compared, seed the users."""
    share_environment(service)
    settings = Settings(_env_file=None, mongo_uri=SecretStr(service.mongo_uri))
    environment.prepare(os.environ)
    import ray  # noqa: PLC0415

    from actors.client import Allotment  # noqa: PLC0415 - imports ray, which reads the environment
    from bench import one_call, seeding  # noqa: PLC0415 - so do these

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    join(service.ray_address, log_to_driver=False, logging_level=logging.ERROR)
    client = Allotment.connect(timeout_seconds=SEED_SECONDS_MAX)
    begin(console, "deploying one call per request")
    one_call.deploy(settings)
    seeding.seed_service(client, users, console)
    client.close()
    ray.shutdown()
    with long_step(console, "waiting until the service is at rest"):
        service.settle()


def share_environment(service: Service) -> None:
    """Take over what a process must have to join the service's cluster, before ray is imported."""
    own = {**clean_environment(), **service.environment}
    os.environ.clear()
    os.environ.update(own)

"""The composition for Ray Serve: the HTTP edge on the shards, the keys and the database."""

from ray.serve import Application

from actors.serving.replica import edge
from actors.settings import Settings


def app(_arguments: dict[str, str]) -> Application:
    """Build the application for `serve run` and `serve deploy`: settings are in the environment.

    Actors that do not run yet are started, and outlive Serve: `allotment up` is not needed.
    """
    from actors.launch import start_actors  # noqa: PLC0415 - it puts this file on Serve

    settings = start_actors(Settings())
    return edge.options(num_replicas=settings.http_replicas).bind(settings)

"""The application for `serve run` and `serve deploy`: actors that are started, and the HTTP edge."""

from ray.serve import Application

from actors.launch import start_actors
from actors.serving.replica import edge
from actors.settings import Settings


def app(_arguments: dict[str, str]) -> Application:
    """Build the application for `serve run` and `serve deploy`: settings are in the environment.

    Actors that do not run yet are started, and outlive Serve: `allotment up` is not needed.
    """
    settings = start_actors(Settings())
    return edge.options(num_replicas=settings.http_replicas).bind(settings)

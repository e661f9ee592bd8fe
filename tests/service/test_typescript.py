"""The TypeScript client against the service: all that it does, outages, an application's Mongoose."""

import pytest

from tests.clients.typescript import needs_node, run, there
from tests.service.running import RunningService

pytestmark = pytest.mark.service


def test_the_client_does_all_of_it(service: RunningService) -> None:
    needs_node()

    run("node", "scripts/test.mjs", "integration", env=there(service))

"""One running service for all tests of this folder, with endpoints that take its events."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.builders.tokens import CLAIMS, SECRET
from tests.clients.node_programs import install_packages
from tests.fakes.smtp import SmtpProcess
from tests.service.receiver import Receiver, as_setting
from tests.service.running import PRICES, RunningService, prices_in
from tests.units_of_work import unit_of

TOKENS = {
    "ALLOTMENT_JWT_SECRET": SECRET,
    "ALLOTMENT_JWT_ISSUER": CLAIMS["iss"],
    "ALLOTMENT_JWT_AUDIENCE": CLAIMS["aud"],
}
"""Whose users' tokens the services take: the application's."""


class ServiceScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands a process one script, a file, or all that use the services here: others start more.

    It holds one test back for each process, as few as can be: xdist would hold two.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        if self._pending_of(self.assigned_work[node]) < 2 or not self.workqueue:
            super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)  # xdist may be switched off.
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ServiceScheduling:
    return ServiceScheduling(config, log)


RUNNING: dict[str, RunningService] = {}
"""The services that tests share, by the units of tests that use them."""


@pytest.hookimpl(trylast=True)  # What the test itself has opened is closed before.
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop a shared service after the last test of its unit: idle, it takes an eighth of a core."""
    unit = unit_of(item.nodeid)
    is_handed_out = hasattr(item.config, "workerinput")  # Else units are not kept together.
    is_last = nextitem is None or unit_of(nextitem.nodeid) != unit
    if is_handed_out and is_last and unit in RUNNING:
        RUNNING.pop(unit).stop()


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def troubled() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def other_receiver(troubled: Receiver) -> Iterator[Receiver]:
    """Yield an endpoint that a test may bring into trouble; it is well again afterwards."""
    yield troubled
    troubled.manner = "ok"


@pytest.fixture(scope="session")
def smtp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpProcess]:
    server = SmtpProcess(tmp_path_factory.mktemp("smtp"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    receiver: Receiver,
    troubled: Receiver,
    smtp: SmtpProcess,
) -> Iterator[RunningService]:
    directory: Path = tmp_path_factory.mktemp("service")
    prices_in(directory).write_text(PRICES)
    settings = TOKENS | {
        "ALLOTMENT_PRICES": str(prices_in(directory)),
        "ALLOTMENT_RAY_DASHBOARD": "1",
        "ALLOTMENT_SHARDS": "2",
        "ALLOTMENT_WEBHOOKS": as_setting(receiver.config("crm"), troubled.config("other")),
        "ALLOTMENT_ENDPOINT_HOSTS": "127.0.0.1",
        "ALLOTMENT_FEATURES": "chat,export",
        "ALLOTMENT_SMTP_HOST": "127.0.0.1",
        "ALLOTMENT_SMTP_PORT": str(smtp.port),
        "ALLOTMENT_SMTP_TLS": "none",
    }
    with RunningService(directory, **settings) as RUNNING["service"]:
        yield RUNNING["service"]


@pytest.fixture(scope="session")
def rehearsal() -> Iterator[RunningService]:
    """Run a service whose clock may be set, and that takes users' tokens.

    Unlike the other's, the path of its data directory is short enough for sockets.
    """
    settings = TOKENS | {
        "ALLOTMENT_RAY_DASHBOARD": "1",
        "ALLOTMENT_SHARDS": "2",
        "ALLOTMENT_TEST_CLOCK": "1",
        "ALLOTMENT_RATE_LIMIT_REQUESTS": "100000",
        "ALLOTMENT_CORS_ORIGINS": "https://app.example",
    }
    with (
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as directory,
        RunningService(Path(directory), **settings) as RUNNING["rehearsal"],
    ):
        yield RUNNING["rehearsal"]


@pytest.fixture(scope="session")
def http(service: RunningService) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory below which programs of Node find what they import."""
    directory = tmp_path_factory.mktemp("packages")
    install_packages(directory)
    return directory

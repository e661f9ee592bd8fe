"""The service on two nodes: shards and HTTP on both, started anew, drained, and one that hangs."""

import contextlib
import itertools
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from tests.service.machines import ROOT, Machines, ServiceOnMachines, can_have_machines
from tests.service.patience import BACK_SECONDS_MAX, FOUND_SECONDS_MAX
from tests.service.processes import runs, shard_pids, wake
from tests.service.running import wait_until
from tests.stopping import stop_process

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not can_have_machines(), reason="namespaces of Linux need root"),
]
USERS = [f"cluster-{number}" for number in range(4)]
PAUSE_SECONDS = 0.05


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the code, which may be changed."""
    copy = tmp_path_factory.mktemp("code")
    for folder in ("actors", "domain"):
        shutil.copytree(ROOT / folder, copy / folder)
    shutil.copy(ROOT / "serve_app.py", copy)
    return copy


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, code: Path) -> Iterator[ServiceOnMachines]:
    with Machines(tmp_path_factory.mktemp("cluster"), workers=1, code=code) as machines:
        settings = {"ALLOTMENT_SHARDS": "2", "ALLOTMENT_HTTP_REPLICAS": "2"}
        service = ServiceOnMachines(machines, **settings)
        service.cwd = code
        with service:
            yield service


@pytest.fixture
def database(service: ServiceOnMachines) -> Iterator[Documents]:
    database = connect(service.machines.own_mongo_uri, "allotment")
    yield database
    database.client.close()


class Charging:
    """Charges one user after the other as long as the block, and counts what comes."""

    def __init__(self, service: ServiceOnMachines, run: str) -> None:
        self.answers: Counter[int] = Counter()
        self._client = service.client()
        self._run = run
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._charge_all)

    def __enter__(self) -> Counter[int]:
        self._thread.start()
        return self.answers

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def _charge_all(self) -> None:
        for number in itertools.count():
            if self._stopping.wait(PAUSE_SECONDS):
                return
            code = 0
            with contextlib.suppress(httpx.TransportError):
                code = charge(self._client, USERS[number % len(USERS)], f"{self._run}-{number}")
            self.answers[code] += 1


def charge(client: httpx.Client, user: str, key: str) -> int:
    body = {"user_id": user, "service_type": "chat", "credit_amount": 1}
    answer = client.post("/subscription/usage", json=body, headers={"Idempotency-Key": key})
    return answer.status_code


def shards(service: ServiceOnMachines) -> list[dict[str, Any]]:
    with service.client() as client:
        rows: list[dict[str, Any]] = client.get("/admin/shards").raise_for_status().json()
        return rows


def test_both_nodes_have_a_shard_and_answer_for_every_user(service: ServiceOnMachines) -> None:
    payment = {"method": "card", "transaction_id": "t", "amount": 0, "currency": "eur"}
    machines = service.machines
    found = set()
    with service.client() as client:
        for user in USERS:
            body = {"user_id": user, "amount": 300_000, "days": 30, "payment": payment}
            assert client.post("/subscription/credits", json=body).status_code == 201
        for machine, user in itertools.product([machines.head, *machines.workers], USERS):
            address = f"http://{machine.address}:{service.port}/subscription/status"
            found.add(client.get(address, params={"user_id": user}).json()["remaining_credits"])

    assert found == {9_000}
    assert len({row["node_id"] for row in shards(service)}) == 2


def test_a_restart_brings_new_code_into_force_and_no_charge_fails(
    service: ServiceOnMachines, code: Path
) -> None:
    before = shards(service)
    with (code / "domain" / "values.py").open("a") as file:
        file.write("\n# A new version.\n")

    with Charging(service, "restart") as answers:
        done = service.command("restart")
    after = shards(service)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.index("lists") < done.stdout.index("shard-000")  # Shards ask it for theirs.
    assert answers.keys() == {201}
    assert len({row["code"] for row in after}) == len({row["code"] for row in before}) == 1
    assert before[0]["code"] != after[0]["code"]
    assert [row["node_id"] for row in after] == [row["node_id"] for row in before]


def test_a_shard_that_hangs_on_another_node_is_found_and_started_again_there(
    service: ServiceOnMachines, database: Documents
) -> None:
    worker = service.machines.workers[0]
    node_id = service.machines.node_ids()[worker.address]
    name = next(row["shard"] for row in shards(service) if row["node_id"] == node_id)
    (pid,) = shard_pids(database, name)

    try:
        stop_process(pid)
        wait_until(lambda: not runs(pid), FOUND_SECONDS_MAX)
        wait_until(lambda: bool(shard_pids(database, name) - {pid}), BACK_SECONDS_MAX)
    finally:
        wake(pid)
    with service.client() as client:
        answers = {charge(client, user, "hung") for user in USERS}

    assert answers == {201}
    assert node_id in {row["node_id"] for row in shards(service) if row["shard"] == name}


def test_a_drained_node_hands_its_shards_over_and_no_charge_fails(
    service: ServiceOnMachines,
) -> None:
    ids = service.machines.node_ids()
    leaving = ids[service.machines.workers[0].address]
    head = ids[service.machines.head.address]

    with Charging(service, "drain") as answers:
        done = service.command("drain", leaving[:12])
    after = shards(service)

    assert (done.returncode, done.stderr) == (0, "")
    assert answers.keys() == {201}
    assert {row["node_id"] for row in after} == {head}

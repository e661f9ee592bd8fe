"""Several machines on one: each has its own network, processes and Ray node, and can be lost.

A machine is a set of Linux namespaces behind a bridge, so every node has an address of its own,
HTTP on the same port, and process numbers that mean nothing to the others. That needs root. Ray is
started by the lines of `cluster.yaml`.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import yaml
from pymongo.uri_parser import parse_uri

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.embedded_wire import MongoWire
from tests.patience import SERVICE_SECONDS
from tests.service.port_forwarder import Forwarding
from tests.service.processes import pids_in
from tests.service.running import RunningService

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = SERVICE_SECONDS
SHARED_FOLDERS = ("/tmp/haproxy-serve", "/tmp/ray")  # Where each machine needs its own files.
CPUS = 4
RAY_STARTS_MAX = 3  # How often a node is started where that fails, as it may on a busy machine.
OWN = "--net --pid --mount --fork --mount-proc"


def can_have_machines() -> bool:
    """Whether this program may make namespaces and a bridge."""
    bridge = f"al{secrets.token_hex(3)}"
    commands = (
        f"unshare {OWN} true",
        f"ip link add {bridge} type bridge",
        f"ip link del {bridge}",
    )
    try:
        return not any(
            subprocess.run(one.split(), capture_output=True, check=False).returncode
            for one in commands
        )
    except FileNotFoundError:
        return False


class Machine:
    """One machine, as long as it is not killed."""

    def __init__(self, name: str, bridge: str, address: str) -> None:
        self.address = address
        self._name = name
        # Its first process ends when nobody holds the pipe to it any more, and all others with it.
        self._holder = subprocess.Popen(
            ["unshare", "--kill-child", *OWN.split(), "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.init = child_of(self._holder.pid)
        self.space = str(Path(f"/proc/{self.init}/ns/pid").readlink())
        """Of its process numbers, as its processes know it."""
        link = f"ip link add {name} type veth peer name eth0 netns {self.init}"
        for command in (link, f"ip link set {name} master {bridge} up"):
            subprocess.run(command.split(), check=True)
        self.run(f"ip addr add {address}/24 dev eth0 && ip link set eth0 up && ip link set lo up")
        for folder in SHARED_FOLDERS:
            Path(folder).mkdir(exist_ok=True)
            self.run(f"mount -t tmpfs tmpfs {folder}")

    @property
    def within(self) -> list[str]:
        """What a command is to begin with to run on the machine."""
        return ["nsenter", "-t", str(self.init), "--net", "--pid", "--mount"]

    def run(self, script: str, environment: dict[str, str] | None = None) -> str:
        """Run shell commands on the machine, to their end; return what they print."""
        command = [*self.within, "bash", "-c", script]
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def pids(self, title: str) -> set[int]:
        """Return the machine's processes with this in their command line, as we number them."""
        found = set()
        for pid in pids_in(self.space):
            with contextlib.suppress(OSError):  # It has ended meanwhile.
                if title.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(pid)
        return found

    def cut(self) -> None:
        """Cut the machine off from the others."""
        subprocess.run(["ip", "link", "set", self._name, "down"], check=True)

    def mend(self) -> None:
        """Undo `cut`."""
        subprocess.run(["ip", "link", "set", self._name, "up"], check=True)

    def clear(self) -> None:
        """Kill all its processes but the first, which keeps the machine."""
        for pid in set(pids_in(self.space)) - {self.init}:
            with contextlib.suppress(ProcessLookupError):  # It has ended meanwhile.
                os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """End all its processes at once (SIGKILL): its network ends with them."""
        if self._holder.poll() is None:  # Else its number may be another process's by now.
            os.kill(self.init, signal.SIGKILL)
        self._holder.communicate()


def child_of(pid: int) -> int:
    """Return the first child of a process, as soon as it has one."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(1_000):
        if found := children.read_text().split():
            return int(found[0])
        threading.Event().wait(0.01)
    raise AssertionError(f"process {pid} has no child")


class ServiceOnMachines(RunningService):
    """The service, joined to the cluster by a process on its head node."""

    def __init__(self, machines: "Machines", **settings: str) -> None:
        super().__init__(machines.folder, **settings)
        self.machines = machines
        self.within = machines.head.within
        self.port = 8000
        self.address = f"http://{machines.head.address}:{self.port}"

    def environment(self) -> dict[str, str]:
        return self.machines.environment | {
            "RAY_ADDRESS": f"{self.machines.head.address}:6379",
            "ALLOTMENT_DATA_DIR": str(self.data_dir),
            "ALLOTMENT_HTTP_HOST": "0.0.0.0",
            "ALLOTMENT_HTTP_PORT": str(self.port),
            "ALLOTMENT_MONGO_URI": self.machines.mongo_uri,
            **self._settings,
        }

    @property
    def mongo_uri(self) -> str:
        return self.machines.own_mongo_uri


class Machines:
    """A head and workers with Ray, and a database that all of them reach."""

    def __init__(
        self,
        folder: Path,
        workers: int,
        code: Path = ROOT,
        *,
        with_dashboard: bool = False,
        **settings: str,
    ) -> None:
        """Put `settings`, if any, and where the database is, into the environment of Ray.

        `with_dashboard`: `serve deploy` asks it. It has processes of its own, each of which imports Ray.
        """
        self.folder = folder
        self._data = folder / "data"
        self._net = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
        self._bridge = f"al{secrets.token_hex(3)}"
        self._stack = contextlib.ExitStack()
        self._code = code
        self._with_dashboard = with_dashboard
        self._settings = settings
        self._lines = yaml.safe_load((ROOT / "cluster.yaml").read_text())
        self.environment = self._make_home()
        self._wanted = workers
        self._made = 0
        self.mongo_uri = ""
        self.own_mongo_uri = ""
        """Of the database without a way round."""

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _begin(self) -> None:
        mongo = self._stack.enter_context(EmbeddedMongo(self._data / "mongo", wire=MongoWire()))
        self.own_mongo_uri = mongo.uri
        for command in (
            f"ip link add {self._bridge} type bridge",
            f"ip addr add {self._net}.1/24 dev {self._bridge}",
            f"ip link set {self._bridge} up",
        ):
            subprocess.run(command.split(), check=True)
        self._stack.callback(subprocess.run, f"ip link del {self._bridge}".split(), check=True)
        way = self.reach(parse_uri(mongo.uri)["nodelist"][0][1])
        self.mongo_uri = f"mongodb://{way}/?directConnection=true&replicaSet=secantus"
        if self._settings:
            self.environment |= {"ALLOTMENT_MONGO_URI": self.mongo_uri, **self._settings}
        self.head = self._machine()
        self._start_ray(self.head, "head_start_ray_commands")
        self.workers = [self.add_worker() for _ in range(self._wanted)]

    def reach(self, port: int) -> str:
        """Return the address by which the machines reach a port of this program's loopback."""
        forwarding = self._stack.enter_context(Forwarding(f"{self._net}.1", port))
        return f"{self._net}.1:{forwarding.port}"

    def add_worker(self) -> Machine:
        """Return one more machine, which has joined the cluster."""
        machine = self._machine()
        self._start_ray(machine, "worker_start_ray_commands")
        return machine

    def pids(self, title: str) -> set[int]:
        """Return the processes of all machines with this in their command line."""
        return set().union(*(machine.pids(title) for machine in (self.head, *self.workers)))

    def node_ids(self) -> dict[str, str]:
        """Return the ids of the nodes there are, by their addresses."""
        script = (
            "import json, ray; ray.init(logging_level='ERROR', log_to_driver=False); print(json.dumps("
            "{n['NodeManagerAddress']: n['NodeID'] for n in ray.nodes() if n['Alive']}))"
        )
        done = subprocess.run(
            [*self.head.within, sys.executable, "-c", script],
            env=self.environment
            | {"RAY_ADDRESS": f"{self.head.address}:6379", "RAY_AUTH_MODE": "token"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return found

    def _machine(self) -> Machine:
        self._made += 1
        address = f"{self._net}.{10 + self._made}"
        machine = Machine(f"{self._bridge}n{self._made}", self._bridge, address)
        self._stack.callback(machine.kill)
        return machine

    def _start_ray(self, machine: Machine, which: str) -> None:
        """Run the cluster file's lines; `ray stop` would end others' Ray, and has nothing to do."""
        (line,) = [line for line in self._lines[which] if "ray start" in line]
        line = line.replace(" --autoscaling-config=~/ray_bootstrap_config.yaml", "")
        if machine is self.head and not self._with_dashboard:
            line += " --include-dashboard=false"
        head = self.head.address
        ours = f" --node-ip-address={machine.address} --num-cpus={CPUS} --disable-usage-stats"
        environment = self.environment | {"RAY_HEAD_IP": head}
        for left in reversed(range(RAY_STARTS_MAX)):
            try:
                machine.run(line + ours, environment)
            except AssertionError:
                # It gives up by a time limit of its own, and leaves what it began.
                machine.clear()
                if not left:
                    raise
            else:
                return

    def _make_home(self) -> dict[str, str]:
        """Make a home with what the cluster file puts there; return the environment of all."""
        home = self.folder / "home"
        (home / ".ray").mkdir(parents=True)
        token = home / ".ray" / "auth_token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        (home / "allotment-venv").symlink_to(sys.prefix)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ALLOTMENT_", "RAY_"))
        }
        ours = {"HOME": str(home), "PYTHONPATH": str(self._code)}
        return inherited | ours | {"ALLOTMENT_DATA_DIR": str(self._data)}  # Tells whose they are.

"""What the service is compared with over HTTP: each a service that a team would write itself.

All answer `GET /status` and `POST /usage` behind the same keys, of users of their own.
"""

import contextlib
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import HTTPConnection

from rich.console import Console

from bench.documents import seed_database, seed_key
from bench.haproxy import haproxy_before
from bench.processes import ROOT, BenchError, clean_environment, free_port, running
from bench.progress import begin
from bench.redis_server import redis_server, seed_redis
from bench.users import user_id

EXPRESS = ROOT / "bench" / "express"
PLAIN = "plain FastAPI"
MONGOOSE = "Express + Mongoose"
REDIS = "Express + Redis"
ONE_INSERT = "one insert"


@dataclass(frozen=True, slots=True)
class Target:
    """Where something answers, and a key for it."""

    port: int
    key: str


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them: what it needs of the machine, and how it runs."""

    programs: tuple[str, ...]
    """Which programs have to be installed. Those of Node need packages, too."""
    run: Callable[[str, int], AbstractContextManager[Target]]
    """Runs it with its users, on the database server at an address."""
    jobs: tuple[str, ...] = ("status", "usage")

    def lacks(self) -> str | None:
        """Say why it cannot run here; None: it can."""
        for program in self.programs:
            if shutil.which(program) is None:
                return f"there is no {program}"
        if (
            "node" in self.programs
            and not (EXPRESS / "node_modules" / ".package-lock.json").exists()
        ):
            return "`make peers` installs its packages"
        return None


@contextlib.contextmanager
def plain_fastapi(mongo_uri: str, users: int) -> Iterator[Target]:
    """Run FastAPI and pymongo."""
    name = "bench_plain"
    key = seed_database(mongo_uri, name, users)
    with uvicorn("bench.plain_service:app", mongo_uri, name) as port:
        yield Target(port, key)


@contextlib.contextmanager
def one_insert(mongo_uri: str, _users: int) -> Iterator[Target]:
    """Run Starlette with nothing but a write, behind HAProxy as the service's replicas are."""
    name = "bench_one_insert"
    key = seed_key(mongo_uri, name)
    with uvicorn("bench.one_insert:app", mongo_uri, name) as port, haproxy_before(port) as before:
        yield Target(before, key)


@contextlib.contextmanager
def express_mongoose(mongo_uri: str, users: int) -> Iterator[Target]:
    """Run Express with Mongoose and a cache."""
    name = "bench_mongoose"
    key = seed_database(mongo_uri, name, users)
    there = {"BENCH_MONGO_URI": mongo_uri, "BENCH_MONGO_DATABASE": name}
    with node("with_mongoose.js", there) as port:
        target = Target(port, key)
        ask_for_all(target, users)
        yield target


@contextlib.contextmanager
def express_redis(_mongo_uri: str, users: int) -> Iterator[Target]:
    """Run Express with a Redis of its own."""
    with redis_server() as redis_port:
        key = seed_redis(redis_port, users)
        there = {"BENCH_REDIS_URL": f"redis://127.0.0.1:{redis_port}"}
        with node("with_redis.js", there) as port:
            yield Target(port, key)


PEERS: Mapping[str, Peer] = {
    PLAIN: Peer((), plain_fastapi),
    MONGOOSE: Peer(("node",), express_mongoose),
    REDIS: Peer(("node", "redis-server", "redis-cli"), express_redis),
    ONE_INSERT: Peer((), one_insert, jobs=("usage",)),
}


@contextlib.contextmanager
def uvicorn(app: str, mongo_uri: str, database: str) -> Iterator[int]:
    """Run an application in one process; yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-access-log"]
    there = {"BENCH_MONGO_URI": mongo_uri, "BENCH_MONGO_DATABASE": database}
    environment = clean_environment() | there
    with running(command, environment, ROOT, lambda line: "Uvicorn running" in line):
        yield port


@contextlib.contextmanager
def node(program: str, there: Mapping[str, str]) -> Iterator[int]:
    """Run a program of Node in one process, as in production; yield its port."""
    port = free_port()
    environment = clean_environment() | {"NODE_ENV": "production", "PORT": str(port), **there}
    with running(["node", program], environment, EXPRESS, lambda line: line == "listening"):
        yield port


def ask_for_all(target: Target, users: int) -> None:
    """Ask for every user once: a cache begins as full as the service's RAM."""
    with contextlib.closing(HTTPConnection("127.0.0.1", target.port)) as connection:
        for index in range(users):
            path = f"/status?user_id={user_id(index)}"
            connection.request("GET", path, headers={"Authorization": f"Bearer {target.key}"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise BenchError(f"GET {path} is answered {answer.status}: {answer.read()!r}")
            answer.read()


@contextlib.contextmanager
def running_peers(
    names: Collection[str], mongo_uri: str, users: int, console: Console
) -> Iterator[dict[str, Target]]:
    """Run those of these names that are peers, side by side."""
    with contextlib.ExitStack() as stack:
        targets = {}
        for name in PEERS:
            if name in names:
                begin(console, f"starting {name}")
                targets[name] = stack.enter_context(PEERS[name].run(mongo_uri, users))
        yield targets

"""Brings the whole service up in one process's care, and takes it down in order.

database → indexes, directory, first key → Ray → shards → synchronisation → Stripe → janitor →
events → supervisor → HTTP → ready
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ray
from pydantic import SecretStr
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.auth.first_key import first_key
from actors.cluster.resharding import table_at_start
from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.accounts.store import MongoStore
from actors.mongo.audit import MongoAudit
from actors.mongo.clock import MongoClock
from actors.mongo.connection import check_suitable, connect, unavailable_on_error
from actors.mongo.directory import MongoDirectory
from actors.mongo.embedded_wire import Documents, MongoWire
from actors.mongo.keys import MongoKeys
from actors.mongo.preparation import prepare
from actors.mongo.prices import MongoPrices
from actors.mongo.steps import Tell
from actors.protocol.directory import Directory, shard_name
from actors.remote.events import start_events
from actors.remote.janitor import start_janitor
from actors.remote.lists import start_lists
from actors.remote.local_cluster import ray_cluster
from actors.remote.metrics import PricesMetric
from actors.remote.names import SHARD_NAMES, names_of_ours
from actors.remote.options import NAMESPACE
from actors.remote.ports import PROXY_PORTS, check_ports, claimed, host_of
from actors.remote.private_folders import make_private
from actors.remote.rollout import settings_in_force
from actors.remote.shard import ShardActor
from actors.remote.start_shard import start_shard
from actors.remote.start_steps import START_SECONDS_MAX, CannotStartError, attempt, starting
from actors.remote.stripe import start_stripe
from actors.remote.supervisor import start_supervisor, supervision
from actors.remote.sync import start_sync
from actors.runtime.price_list import PriceFile, in_force
from actors.serving import deployment
from actors.settings import Settings

DRAIN_SECONDS_MAX = 20.0
CLOSE_SECONDS_MAX = 5.0  # How long one may take to end its work in order.


Start = Callable[[Settings], ActorHandle[Any]]
"""Starts an actor, or returns the one that runs already."""

logger = logging.getLogger(__name__)


class Started(NamedTuple):
    """What is told of a service that runs."""

    first_key: str | None
    """The first admin key, where it was made just now."""
    dashboard_url: str | None
    """Where Ray's dashboard is, if there is one."""


@contextlib.contextmanager
def data_directory(settings: Settings) -> Iterator[Path]:
    """Hold the data directory: no other service may use it, and no other user enter it.

    Raises CannotStartError.
    """
    path = settings.data_dir.absolute()
    make_private(path)
    with (path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStartError(
                f"Another Allotment runs on the data directory {path}."
            ) from error
        yield path


@contextlib.contextmanager
def database_uri(settings: Settings, directory: Path) -> Iterator[str]:
    """Yield the URI of the database; the embedded one runs as long as the block."""
    if settings.mongo_uri is not None:
        yield settings.mongo_uri.get_secret_value()
        return
    uri_file = directory / "mongo.uri"
    with EmbeddedMongo(directory / "mongo", wire=MongoWire()) as mongo:
        uri_file.write_text(mongo.uri)
        yield mongo.uri
    uri_file.unlink(missing_ok=True)


def prepare_database(settings: Settings, uri: str, tell: Tell) -> tuple[Documents, int]:
    """Return the database, suitable and prepared; and how many shards its directory has."""
    database = connect(uri, settings.mongo_db)
    check_suitable(database)
    prepare(database, lambda step: tell(f"database: {step}"))
    MongoClock(database).check(may_be_ahead=settings.test_clock)
    is_set = "shards" in settings.model_fields_set
    table = table_at_start(MongoDirectory(database), settings.shards, is_set=is_set)
    MongoStore(database).keep_marks([shard_name(index) for index in range(table.shards)])
    return database, table.shards


def unchecked_claims(settings: Settings) -> list[str]:
    """Return which settings are missing that would tell tokens for others from ours."""
    if settings.jwks_url is None:
        return []
    named = {
        "ALLOTMENT_JWT_ISSUER": settings.jwt_issuer,
        "ALLOTMENT_JWT_AUDIENCE": settings.jwt_audience,
    }
    return [name for name, value in named.items() if value is None]


def price_file(settings: Settings) -> PriceFile | None:
    """Return the file of the price list, if there is one. Raises CannotStartError."""
    try:
        return PriceFile(settings.prices.absolute()) if settings.prices else None
    except ValueError as error:
        raise CannotStartError(f"ALLOTMENT_PRICES: {settings.prices}: {error}") from error


@contextlib.contextmanager
def shards(settings: Settings, count: int) -> Iterator[None]:
    """Run the shards as long as the block; at its end their views are complete."""
    start_shards(settings, count)
    try:
        yield
    finally:
        end_shards()


def start_shards(settings: Settings, count: int) -> None:
    """Start so many shards, those that do not run yet; return when all answer.

    Raises CannotStartError.
    """
    with starting("The shards"):
        lists = start_lists(settings)  # It reads for all shards what fills their RAM.
        handles = [start_shard(settings, index) for index in range(count)]
        answers = [lists.ping.remote(), *(h.report.remote() for h in handles)]
        ray.get(answers, timeout=START_SECONDS_MAX)


def end_shards() -> None:
    """End all shards in order, however many there are by now, and wherever."""
    handles: list[ActorHandle[ShardActor]] = []
    for name in filter(SHARD_NAMES.fullmatch, names_of_ours()):
        with contextlib.suppress(ValueError):  # It has ended meanwhile.
            handles.append(ray.get_actor(name, namespace=NAMESPACE))
    leaving: list[Any] = [handle.leave.remote() for handle in handles]
    if leaving:
        ray.wait(leaving, num_returns=len(leaving), timeout=DRAIN_SECONDS_MAX)
    for handle in handles:
        ray.kill(handle)


def singletons(settings: Settings) -> dict[str, Start]:
    """Return what starts each actor of which there is one, in order, by what it is called."""
    stripe: dict[str, Start] = {} if settings.stripe_api_key is None else {"Stripe": start_stripe}
    own: dict[str, Start] = {"lists": start_lists, "sync": start_sync}
    return own | stripe | {"janitor": start_janitor, "events": start_events}


def start_actors(settings: Settings, tell: Tell = logger.warning) -> Settings:
    """Start all actors that do not run yet, and leave them running; return their settings.

    Where a service runs already, these are its own. Raises CannotStartError.
    """
    if shard_name(0) in names_of_ours():
        settings = settings_in_force()
    elif settings.mongo_uri is None:
        raise CannotStartError("ALLOTMENT_MONGO_URI has to name a database that all nodes reach.")
    else:
        database, _ = prepare_database(settings, settings.mongo_uri.get_secret_value(), tell)
        database.client.close()
    with starting("The first shard"):
        first: Any = start_shard(settings, 0)
        table: Directory = ray.get(first.directory.remote(), timeout=START_SECONDS_MAX)
    start_shards(settings, table.shards)
    for name, start in (singletons(settings) | {"supervisor": start_supervisor}).items():
        start_singleton(name, start, settings)
    return settings


def start_singleton(name: str, start: Start, settings: Settings) -> ActorHandle[Any]:
    """Start an actor of which there is one; return it when it answers. Raises CannotStartError."""
    with starting(f"The {name} actor"):
        handle = start(settings)
        ray.get(handle.ping.remote(), timeout=START_SECONDS_MAX)
    return handle


@contextlib.contextmanager
def running(name: str, start: Start, settings: Settings) -> Iterator[None]:
    """Run an actor as long as the block; what it leaves undone is done at its next start."""
    handle = start_singleton(name, start, settings)
    try:
        yield
    finally:
        with contextlib.suppress(RayError):  # Killed amid a transaction it would leave it open.
            ray.get(handle.close.remote(), timeout=CLOSE_SECONDS_MAX)
        ray.kill(handle)


def check_own_ports(settings: Settings) -> None:
    """Raise CannotStartError where another program listens on a port of this service's HTTP.

    In a cluster that we have joined, these processes are not ours.
    """
    if not os.environ.get("RAY_ADDRESS"):
        of_http = {"ALLOTMENT_HTTP_PORT": (settings.http_host, settings.http_port)}
        beside = {
            name: (host_of(name, settings.http_host), int(os.environ[name])) for name in PROXY_PORTS
        }
        check_ports(of_http | beside)


@contextlib.contextmanager
def http(settings: Settings, tell: Callable[[str], None]) -> Iterator[None]:
    """Serve HTTP as long as the block; at its end accepted requests are answered.

    Raises CannotStartError.
    """

    def begin() -> None:
        check_own_ports(settings)
        try:
            deployment.begin(settings)
        except (RuntimeError, TimeoutError):
            check_own_ports(settings)
            raise

    attempt("HTTP", begin, tell)
    try:
        yield
    finally:
        deployment.end_serving()


@contextlib.contextmanager
def service(settings: Settings, tell: Tell) -> Iterator[Started]:
    """Run the whole service.

    `tell` is given a line a step. Raises CannotStartError, EmbeddedMongoError,
    StorageUnavailableError and UnsuitableDatabaseError before anything is left running.
    """
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(data_directory(settings))
        stack.enter_context(claimed(settings.http_host, settings.http_port, "ALLOTMENT_HTTP_PORT"))
        prices = price_file(settings)
        for claim in unchecked_claims(settings):
            logger.warning("%s is not set: tokens of the issuer for others are taken, too", claim)
        tell("database")
        uri = stack.enter_context(database_uri(settings, directory))
        with unavailable_on_error():
            database, count = prepare_database(settings, uri, tell)
            stack.callback(database.client.close)
            key = first_key(MongoKeys(database), MongoAudit(database), directory)
        settings = settings.model_copy(update={"mongo_uri": SecretStr(uri)})
        tell("Ray")
        dashboard_url = stack.enter_context(
            ray_cluster(
                directory,
                tell,
                http_host=settings.http_host,
                with_dashboard=settings.ray_dashboard,
            )
        )
        stack.enter_context(in_force(prices, MongoPrices(database), PricesMetric().publish))
        tell("shards")
        stack.enter_context(shards(settings, count))
        for name, start in singletons(settings).items():
            stack.enter_context(running(name, start, settings))
        in_cluster = bool(os.environ.get("RAY_ADDRESS"))  # It may outlive this process.
        stack.enter_context(
            running("supervisor", start_supervisor, settings) if in_cluster else supervision()
        )
        tell("HTTP")
        stack.enter_context(http(settings, tell))
        yield Started(key, dashboard_url)

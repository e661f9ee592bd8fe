"""Owns the directory of the embedded MongoDB, and keeps a server alive in it.

The directory holds the server's own files and four of ours: `engine` (who wrote
the data), `allotment.lock` (held while we run, names the server's pid),
`server.log` (the server's words since its last start) and `server.toml` (empty).

What can go wrong is drawn in `actors/embedded/server.py`; that a server lives on and makes no
progress is noticed by `actors/embedded/watchdog.py`.
"""

import fcntl
import logging
import os
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, Self

from actors.embedded.server import (
    STOP_TIMEOUT_SECONDS,
    DirectoryInUseError,
    Engine,
    EngineMissingError,
    Server,
    ServerFailedError,
    WrongEngineError,
    find_engines,
    kill_server,
)
from actors.embedded.watchdog import Watchdog
from actors.mongo.uri import EMBEDDED_SET_NAME

CARE_TIMEOUT_SECONDS = 10.0  # What a round of care may still take when `stop` is called.
ORPHAN_WAIT_SECONDS = 10.0  # For the server of a killed process to finish its own stop.
CARE_SECONDS = 0.5  # Between two rounds of care; a dead server is noticed this late at most.
RESTART_PAUSE_SECONDS = 2.0  # After a restart that failed.
CREATING = "creating"  # What the marker says until every table exists.

logger = logging.getLogger(__name__)


class Wire(Protocol):
    """What must be said over the wire. Every call is bounded in time by its implementation."""

    def ping(self, uri: str) -> bool:
        """Tell whether the server answers within about a second; never raise."""

    def probe(self, uri: str) -> None:
        """Have the server write in a transaction, make an index, and lock every collection.

        Raises TimeoutError: it did not answer. Any other error is an answer, too.
        """

    def end_orphaned_sessions(self, uri: str) -> None:
        """End the sessions, and so the open transactions, of clients that are gone."""

    def make_tables(self, uri: str) -> None:
        """Make the server create all the tables that it would otherwise create at first use."""


class EmbeddedMongo:
    """The embedded server, kept alive and in shape between `start` and `stop`.

    The directory is the server's alone and gets mode 0700. One thread of ours forks the
    server, cares for it and ends it: Linux stops the server when that thread ends, so it
    outlives neither `stop` nor a SIGKILL of this process (elsewhere, only `stop` ends it).
    """

    def __init__(
        self, directory: Path, *, wire: Wire, port: int = 0, engine: Engine | None = None
    ) -> None:
        self._directory = directory.resolve()
        self._marker = self._directory / "engine"
        self._lock_file = self._directory / "allotment.lock"
        self._wire = wire
        self._port_wanted = port
        self._port = port
        self._engine = engine
        self._server: Server | None = None  # The last one, dead or alive.
        self._lock: int | None = None
        self._keeper: threading.Thread | None = None
        self._stopping = threading.Event()
        self._ending = threading.RLock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        """Where the server answers; the same for as long as this object is started."""
        return f"mongodb://127.0.0.1:{self._port}/?replicaSet={EMBEDDED_SET_NAME}"

    @property
    def pid(self) -> int | None:
        """The server's process, the last one if it is dead."""
        server = self._server  # Read once: the keeper may replace it meanwhile.
        return server.pid if server else None

    @property
    def alive(self) -> bool:
        server = self._server
        return server is not None and server.alive

    def start(self) -> str:
        """Return the URI of a server that answers; blocks until it does.

        Raises EmbeddedMongoError.
        """
        assert self._keeper is None, "start() comes once before each stop()"
        engine = self._choose_engine()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._lock = self._take_lock()
        self._stopping.clear()
        self._port = self._port_wanted
        started: Future[str] = Future()
        self._keeper = threading.Thread(
            target=self._keep, args=(engine, started), name="embedded-mongo", daemon=True
        )
        self._keeper.start()
        try:
            return started.result()  # Bounded: each step of the keeper has its own limit.
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, cleanly if it can, and give the directory free. Idempotent."""
        self._stopping.set()
        with self._ending:  # Two may stop at once: a signal's handler, and a failed start.
            if self._keeper is not None:
                self._keeper.join(CARE_TIMEOUT_SECONDS + STOP_TIMEOUT_SECONDS)
                if self._server is not None and self._keeper.is_alive():
                    self._server.kill()  # The keeper waits for an answer that does not come.
                self._keeper.join()
            self._keeper = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # What the keeper thread does.

    def _keep(self, engine: Engine, started: Future[str]) -> None:
        try:
            server = self._launch(engine)
        except BaseException as error:  # noqa: BLE001  raised again by start(), which waits for it
            started.set_exception(error)
            return
        started.set_result(self.uri)
        pause = CARE_SECONDS
        watchdog = self._watchdog()
        while not self._stopping.wait(pause):
            before, server = server, self._care(engine, server, watchdog)
            if server is not before:
                watchdog.close()
                watchdog = self._watchdog()
            pause = CARE_SECONDS if server.alive else RESTART_PAUSE_SECONDS
        watchdog.close()
        server.end()

    def _watchdog(self) -> Watchdog:
        return Watchdog(
            lambda: self._wire.probe(self.uri),
            lambda: self._wire.end_orphaned_sessions(self.uri),
        )

    def _care(self, engine: Engine, server: Server, watchdog: Watchdog) -> Server:
        """Tend a living server, replace a dead one and one that makes no progress."""
        try:
            server.bound_log()
            server.end_if_helpless()
            if server.alive and not watchdog.look():
                logger.warning("%s makes no progress and is killed", engine.name)
                server.kill_now()
            if server.alive:
                return server
            logger.warning("%s died and is restarted: %s", engine.name, server.last_words)
            return self._launch(engine)
        except Exception:  # the care must outlive any error, or the server stays dead
            logger.warning("the care of the embedded MongoDB failed, goes on", exc_info=True)
        return server

    def _launch(self, engine: Engine) -> Server:
        """Run a server that answers, on the port of the one before it, if there was one."""
        if not self._marker.exists():
            self._mark(engine, CREATING)
        try:
            server = self._launch_when_free(engine)
        except ServerFailedError:
            # Killed while it made its tables, the server can never open them. Nobody was
            # told of them yet, so nothing is lost with them.
            if self._stopping.is_set() or not self._is_creating():
                raise
            self._clear()
            server = self._launch_when_free(engine)
        if self._is_creating():
            self._mark(engine)
        return server

    def _launch_when_free(self, engine: Engine) -> Server:
        """Wait for the server of a killed predecessor; end it when it does not end itself."""
        deadline = time.monotonic() + ORPHAN_WAIT_SECONDS
        while True:
            try:
                return self._launch_once(engine)
            except DirectoryInUseError:
                if time.monotonic() > deadline and not self._kill_orphan():
                    raise
            self._stopping.wait(CARE_SECONDS)  # The next launch gives up when it is set.

    def _launch_once(self, engine: Engine) -> Server:
        self._server = server = Server(engine, self._directory, self._port)
        try:
            self._port = server.wait_for_port(self._stopping)
            self._note(server.pid)
            server.wait_until(lambda: self._wire.ping(self.uri), self._stopping)
            self._prepare()
        except BaseException:
            server.end()
            raise
        return server

    def _prepare(self) -> None:
        """Have done what must be done before anybody learns that the server runs."""
        try:
            self._wire.end_orphaned_sessions(self.uri)
            if self._is_creating():
                self._wire.make_tables(self.uri)
        except Exception as error:
            raise ServerFailedError(f"The server runs but does not obey: {error}") from error

    def _kill_orphan(self) -> bool:
        """Kill the server of a predecessor that is gone: we hold the lock, so nobody keeps it."""
        noted = self._lock_file.read_text()
        return noted.isdigit() and kill_server(int(noted), self._directory)

    # What the directory says.

    def _choose_engine(self) -> Engine:
        """Pick the engine that wrote the directory, the best one for a new directory."""
        engines = [self._engine] if self._engine else find_engines()
        if not engines:
            raise EngineMissingError("No embedded MongoDB is installed: `make` installs it.")
        if not self._marker.exists():
            if (self._directory / "WiredTiger").exists():
                raise WrongEngineError(f"{self._directory} holds a database of another program.")
            return engines[0]
        name, _ = self._recorded()
        for engine in engines:
            if engine.name == name:
                return engine
        raise WrongEngineError(
            f"{self._directory} was written by {name}, not by {engines[0].name}."
        )

    def _recorded(self) -> tuple[str, str]:
        """Read who wrote the directory, and whether its creation was left unfinished."""
        name, _, state = self._marker.read_text().strip().partition(" ")
        return name, state

    def _is_creating(self) -> bool:
        return self._recorded()[1] == CREATING

    def _mark(self, engine: Engine, state: str = "") -> None:
        whole = self._marker.with_suffix(".new")  # A half-written marker would fit no engine.
        with whole.open("w") as marker:
            marker.write(f"{engine.name} {state}".strip() + "\n")
            marker.flush()
            os.fsync(marker.fileno())  # Before the data, which is of no use without it.
        whole.replace(self._marker)

    def _take_lock(self) -> int:
        # Not inherited by the server: the lock says that its owner lives, not the server.
        lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DirectoryInUseError(self._directory) from None
        return lock

    def _note(self, pid: int) -> None:
        """Write down a server that has the directory, for whoever finds it orphaned."""
        assert self._lock is not None, "start() took it"
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(pid).encode(), 0)

    def _clear(self) -> None:
        for pattern in ("WiredTiger*", "secantus_*"):
            for path in self._directory.glob(pattern):
                path.unlink()

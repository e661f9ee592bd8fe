"""Owns the embedded MongoDB-wire server: one process, one directory, one lock.

The directory holds the server's own files and four of ours: `engine` (who wrote
the data), `allotment.lock` (held while we run, names the server's pid),
`server.log` (the server's words since its last start) and `server.toml` (empty).

    EmbeddedMongoError       whatever kept the server from running
    ├── EngineMissing        no server program is installed
    ├── WrongEngine          the directory belongs to another engine
    ├── DirectoryInUse       another server works in the directory
    ├── PortTaken            another program listens on the port
    └── ServerFailed         the server ended, or did not answer in time
"""
# ruff: noqa: N818  the tree above says that they are errors

import contextlib
import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

START_TIMEOUT_SECONDS = 60.0  # Recovery after SIGKILL reads the log: about 8 s per GB.
STOP_TIMEOUT_SECONDS = 10.0  # A stop takes 0.5 s, or as long as the longest open change stream.
CARE_TIMEOUT_SECONDS = 10.0  # What a round of care may still take when `stop` is called.
ORPHAN_WAIT_SECONDS = 10.0  # For the server of a killed process to finish its own stop.
POLL_SECONDS = 0.02  # Between two looks at a server that starts.
CARE_SECONDS = 0.5  # Between two rounds of care; a dead server is noticed this late at most.
RESTART_PAUSE_SECONDS = 2.0  # After a restart that failed.
CHECKPOINT_SECONDS = 60.0  # A checkpoint at least this often ...
CHECKPOINT_GAP_SECONDS = 5.0  # ... and at most this often, however fast the log grows.
LOG_BYTES_MAX = 256 * 1024 * 1024  # Of WiredTigerLog.* files; past it a checkpoint is due.
SERVER_LOG_BYTES_MAX = 1024 * 1024  # Past it `server.log` starts again from empty.
LAST_WORDS_CHARS = 600  # Of `server.log`, quoted when the server ends by itself.

CACHE_SIZE = "512M"
OPLOG_ENTRIES_MAX = 1_000_000
OPLOG_RETENTION_SECONDS = 7 * 24 * 60 * 60

# The server's variables could switch off its durability, and ours hold secrets it has no need of.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR", "TZ")

# Asks Linux to stop the server when the thread that forks it ends, then becomes the server.
# A program of its own, because `preexec_fn` may deadlock in a process with many threads.
LAUNCHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
if os.getppid() == int(sys.argv[1]):  # Else the parent ended before it was watched.
    os.execv(sys.argv[2], sys.argv[2:])
"""

logger = logging.getLogger(__name__)


class EmbeddedMongoError(Exception):
    """The embedded server cannot run; the message says why in one sentence."""


class EngineMissing(EmbeddedMongoError): ...


class WrongEngine(EmbeddedMongoError): ...


class DirectoryInUse(EmbeddedMongoError): ...


class PortTaken(EmbeddedMongoError): ...


class ServerFailed(EmbeddedMongoError): ...


class Wire(Protocol):
    """What must be said over the wire. Every call is bounded in time by its implementation."""

    def ping(self, uri: str) -> bool:
        """Tell whether the server answers within about a second; never raise."""

    def checkpoint(self, uri: str) -> None:
        """Make the server checkpoint, which lets it trim its log."""

    def end_orphaned_sessions(self, uri: str) -> None:
        """End the sessions, and so the open transactions, of clients that are gone."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A server program, and what only it understands."""

    name: str
    command: tuple[str, ...]
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def find_engines() -> list[Engine]:
    """List the installed engines, the fastest first."""
    folder = Path(os.environ.get("ALLOTMENT_ENGINE_DIR") or Path(sys.prefix) / "secantus").resolve()
    native = folder / "secantusdb.scripts" / "secantusd-rs"
    python = folder / "bin" / "secantusd-py"
    engines = []
    if os.access(native, os.X_OK):
        quiet = ("--log-level", "WARNING", "--log-file-max", "64MB")
        engines.append(Engine("secantusd-rs", (str(native),), quiet))
    # Every wheel has the script; it runs only where its dependencies were installed with it.
    if python.is_file() and (folder / "shapely").is_dir():
        environment = {"PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
        telling = ("--log-level", "INFO")  # It tells its port only at this level.
        engines.append(Engine("secantusd-py", (sys.executable, str(python)), telling, environment))
    return engines


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
        self._server_log = self._directory / "server.log"
        self._wire = wire
        self._port_wanted = port
        self._port = port
        self._engine = engine
        self._server: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._keeper: threading.Thread | None = None
        self._stopping = threading.Event()
        self._ending = threading.RLock()
        self._checkpointed_at = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        """Where the server answers; the same for as long as this object is started."""
        return f"mongodb://127.0.0.1:{self._port}/"

    @property
    def pid(self) -> int | None:
        """The server's process, the last one if it has just died."""
        server = self._server
        return server.pid if server else None

    @property
    def alive(self) -> bool:
        server = self._server  # Read once: the keeper may replace it meanwhile.
        return server is not None and server.poll() is None

    def start(self) -> str:
        """Return the URI of a server that answers; blocks until it does."""
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
            keeper, server = self._keeper, self._server
            if keeper is not None:
                keeper.join(CARE_TIMEOUT_SECONDS + STOP_TIMEOUT_SECONDS)
                if keeper.is_alive() and server is not None:
                    server.kill()  # The keeper waits for an answer that does not come.
                    keeper.join()
            self._keeper = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def tend(self) -> None:
        """Do one round of care: checkpoint when one is due, keep `server.log` short."""
        with contextlib.suppress(FileNotFoundError):
            if self._server_log.stat().st_size > SERVER_LOG_BYTES_MAX:
                os.truncate(self._server_log, 0)
        age = time.monotonic() - self._checkpointed_at
        due = age >= CHECKPOINT_SECONDS or self._log_bytes() > LOG_BYTES_MAX
        if due and age >= CHECKPOINT_GAP_SECONDS:
            self._checkpointed_at = time.monotonic()  # First, so a failing one is not hammered.
            self._wire.checkpoint(self.uri)

    # What the keeper thread does.

    def _keep(self, engine: Engine, started: Future[str]) -> None:
        try:
            self._launch(engine)
        except BaseException as error:  # noqa: BLE001  raised again by start(), which waits for it
            started.set_exception(error)
            return
        started.set_result(self.uri)
        pause = CARE_SECONDS
        while not self._stopping.wait(pause):
            pause = CARE_SECONDS if self._care(engine) else RESTART_PAUSE_SECONDS
        self._end_server()

    def _care(self, engine: Engine) -> bool:
        """Tend a living server, replace a dead one; False when a replacement failed."""
        try:
            if self.alive:
                self.tend()
                return True
            logger.warning("%s died and is restarted: %s", engine.name, self._last_words())
            self._launch(engine)
        except Exception:  # the care must outlive any error, or the server stays dead
            logger.warning("the care of the embedded MongoDB failed, goes on", exc_info=True)
        return self.alive

    def _launch(self, engine: Engine) -> None:
        """Run a server that answers, on the port of the one before it, if there was one."""
        if not self._marker.exists():
            self._mark(engine, "creating")
        try:
            self._launch_when_free(engine)
        except ServerFailed:
            # Killed while it made its first tables, the server can never open them. Nobody
            # was told of them yet, so nothing is lost with them.
            if self._stopping.is_set() or self._recorded()[1] != "creating":
                raise
            self._clear()
            self._launch_when_free(engine)
        if self._recorded()[1]:
            self._mark(engine)
        self._checkpointed_at = time.monotonic()

    def _launch_when_free(self, engine: Engine) -> None:
        """Wait for the server of a killed predecessor; end it when it does not end itself."""
        deadline = time.monotonic() + ORPHAN_WAIT_SECONDS
        while True:
            try:
                return self._launch_once(engine)
            except DirectoryInUse:
                if time.monotonic() > deadline and not self._kill_orphan():
                    raise
            self._pause(CARE_SECONDS)

    def _launch_once(self, engine: Engine) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        self._server = self._fork(engine)
        try:
            self._wait_until(deadline, self._listens)
            self._wait_until(deadline, lambda: self._wire.ping(self.uri))
            self._wire.end_orphaned_sessions(self.uri)
        except BaseException:
            self._end_server()
            raise

    def _fork(self, engine: Engine) -> subprocess.Popen[bytes]:
        # Without a config file of ours the server would obey one in the user's home.
        config = self._directory / "server.toml"
        config.touch()
        command = [*engine.command, *engine.flags, "--config", str(config)]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--storage-path", str(self._directory), "--sync-on-commit"]
        command += ["--cache-size", CACHE_SIZE, "--oplog-max-entries", str(OPLOG_ENTRIES_MAX)]
        command += ["--oplog-retention-seconds", str(OPLOG_RETENTION_SECONDS)]
        if sys.platform == "linux":
            launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid())]
            command = launcher + command
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._server_log.unlink(missing_ok=True)
        # Opened to append, so that it can be truncated under the server's hands.
        with self._server_log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  the command is ours, see find_engines()
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=environment | engine.environment,
                start_new_session=True,  # A Ctrl-C in the terminal is for us, not for it.
            )

    def _wait_until(self, deadline: float, reached: Callable[[], bool]) -> None:
        while not reached():
            if not self.alive:
                raise self._cause_of_death()
            if time.monotonic() > deadline:
                raise ServerFailed(f"The server did not answer: {self._last_words()}")
            self._pause(POLL_SECONDS)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise ServerFailed("The embedded MongoDB was stopped while it started.")

    def _listens(self) -> bool:
        """Learn the port from the server, and note its pid for whoever finds it orphaned."""
        line = re.search(r"listening on 127\.0\.0\.1:(\d+)\n", self._words())
        if line and self._lock is not None and self.pid:
            self._port = int(line[1])
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, str(self.pid).encode(), 0)
        return line is not None

    def _end_server(self) -> None:
        if self._server is None:
            return
        self._server.terminate()
        try:
            self._server.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            # Seen when a client died inside a transaction. Durable all the same.
            logger.warning("the embedded MongoDB did not stop when asked and is killed")
            self._server.kill()
            self._server.wait()
        self._server = None

    def _kill_orphan(self) -> bool:
        """Kill the server of a predecessor that is gone: we hold the lock, so nobody keeps it."""
        try:
            pid = int(self._lock_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return False
        if os.fsencode(self._directory) not in command:
            return False
        logger.warning("an orphaned embedded MongoDB, process %d, does not stop and is killed", pid)
        os.kill(pid, signal.SIGKILL)
        return True

    # What the directory says.

    def _recorded(self) -> tuple[str, str]:
        """Read who wrote the directory, and whether its creation was left unfinished."""
        name, _, state = self._marker.read_text().strip().partition(" ")
        return name, state

    def _mark(self, engine: Engine, state: str = "") -> None:
        with self._marker.open("w") as marker:
            marker.write(f"{engine.name} {state}".strip() + "\n")
            marker.flush()
            os.fsync(marker.fileno())  # Before the data, which is of no use without it.

    def _choose_engine(self) -> Engine:
        """Pick the engine that wrote the directory, the best one for a new directory."""
        engines = [self._engine] if self._engine else find_engines()
        if not engines:
            raise EngineMissing("No embedded MongoDB is installed: `make` installs it.")
        if not self._marker.exists():
            if (self._directory / "WiredTiger").exists():
                raise WrongEngine(f"{self._directory} holds a database of another program.")
            return engines[0]
        name, _ = self._recorded()
        for engine in engines:
            if engine.name == name:
                return engine
        raise WrongEngine(f"{self._directory} was written by {name}, not by {engines[0].name}.")

    def _take_lock(self) -> int:
        # Not inherited by the server: the lock says that its owner lives, not the server.
        lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise self._in_use() from None
        return lock

    def _in_use(self) -> DirectoryInUse:
        return DirectoryInUse(f"Another embedded MongoDB already works in {self._directory}.")

    def _clear(self) -> None:
        for pattern in ("WiredTiger*", "secantus_*"):
            for path in self._directory.glob(pattern):
                path.unlink()

    def _log_bytes(self) -> int:
        total = 0
        for path in self._directory.glob("WiredTigerLog.*"):
            with contextlib.suppress(FileNotFoundError):  # Trimmed meanwhile.
                total += path.stat().st_size
        return total

    def _words(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self._server_log.read_text(errors="replace")
        return ""

    def _last_words(self) -> str:
        return self._words()[-LAST_WORDS_CHARS:].strip() or "it said nothing."

    def _cause_of_death(self) -> EmbeddedMongoError:
        words = self._words()
        if "Device or resource busy" in words:
            return self._in_use()
        if "Address already in use" in words:
            return PortTaken(f"Port {self._port} of 127.0.0.1 is taken by another program.")
        return ServerFailed(f"The server ended while it started: {self._last_words()}")

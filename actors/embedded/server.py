"""Owns the server programs of the embedded MongoDB, and one running process of one of them.

EmbeddedMongoError           whatever kept the server from running
├── EngineMissingError       no server program is installed
├── WrongEngineError         the directory belongs to another engine
├── DirectoryInUseError      another server works in the directory
├── PortTakenError           another program listens on the port
└── ServerFailedError        the server ended, failed, or did not answer in time
"""

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

START_TIMEOUT_SECONDS = 180.0  # Recovery after SIGKILL reads the log: about 8 s per GB when idle.
STOP_TIMEOUT_SECONDS = 10.0  # A stop takes 0.5 s, or as long as the longest open change stream.
POLL_SECONDS = 0.02  # Between two looks at a server that starts.
SERVER_LOG_BYTES_MAX = 1024 * 1024  # Past it `server.log` starts again from empty.
DISK_BYTES_MIN = 16 * 1024 * 1024  # With less, a server that ended has ended for want of room.
LAST_WORDS_CHARS = 600  # Of `server.log`, quoted when the server ends by itself.
PANIC = b"WT_PANIC"  # Said, again and again, when the storage has given up, as on a full disk.
PANIC_BYTES = 64 * 1024  # At the end of `server.log`, where it is looked for.

# The server keeps in RAM what it read and wrote, up to this: filled, it takes a fifth more in all.
CACHE_SIZE = "512M"
# The storage checkpoints by itself, which trims its log: at the latest after so many seconds, or
# so much log. The server has a command for it, too, but holds its lock for collections while it
# waits for every open transaction.
STORAGE_CONFIG = "checkpoint=(wait=60,log_size=64MB)"
# The native server removes each old entry of its oplog with an fsync of its own: at the bound it
# writes 1,500 documents a second instead of 13,000. An entry takes about 0.3 KB of disk.
OPLOG_ENTRIES_MAX = 20_000_000
OPLOG_RETENTION_SECONDS = 24 * 60 * 60

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


class EngineMissingError(EmbeddedMongoError): ...


class WrongEngineError(EmbeddedMongoError): ...


class DirectoryInUseError(EmbeddedMongoError):
    def __init__(self, directory: Path) -> None:
        super().__init__(f"Another embedded MongoDB already works in {directory}.")


class PortTakenError(EmbeddedMongoError): ...


class ServerFailedError(EmbeddedMongoError): ...


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
        storage = {"WIREDTIGER_CONFIG": STORAGE_CONFIG}
        engines.append(Engine("secantusd-rs", (str(native),), quiet, storage))
    # Every wheel has the script; it runs only where its dependencies were installed with it.
    if python.is_file() and (folder / "shapely").is_dir():
        environment = {"PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
        telling = ("--log-level", "INFO")  # It tells its port only at this level.
        engines.append(Engine("secantusd-py", (sys.executable, str(python)), telling, environment))
    return engines


def kill_server(pid: int, directory: Path) -> bool:
    """Kill a process if it is a server of the directory; tell whether it was one."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if os.fsencode(directory) not in command:
        return False
    logger.warning("an orphaned embedded MongoDB, process %d, does not stop and is killed", pid)
    os.kill(pid, signal.SIGKILL)
    return True


class Server:
    """One process of an engine: the constructor forks it, `end` ends it.

    On Linux it also ends with the thread that forked it.
    """

    def __init__(self, engine: Engine, directory: Path, port: int) -> None:
        self._directory = directory
        self._port_wanted = port
        self._log = directory / "server.log"
        self._deadline = time.monotonic() + START_TIMEOUT_SECONDS
        self._process = self._fork(engine)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def port(self) -> int | None:
        """Where the server says that it listens; None until it does."""
        line = re.search(r"listening on 127\.0\.0\.1:(\d+)\n", self._words())
        return int(line[1]) if line else None

    @property
    def last_words(self) -> str:
        """Why the server ended, as far as it can be told."""
        if shutil.disk_usage(self._directory).free < DISK_BYTES_MIN:
            return f"the disk that holds {self._directory} is full."
        return self._words()[-LAST_WORDS_CHARS:].strip() or "it said nothing."

    def wait_for_port(self, stopping: threading.Event) -> int:
        """Return the port once the server listens. Raises EmbeddedMongoError."""
        self.wait_until(lambda: self.port is not None, stopping)
        port = self.port
        assert port is not None, "nobody empties the log of a server that starts"
        return port

    def wait_until(self, reached: Callable[[], bool], stopping: threading.Event) -> None:
        """Wait for something that a server does when it starts. Raises EmbeddedMongoError."""
        while not reached():
            self.end_if_helpless()
            if not self.alive:
                raise self._cause_of_death()
            if time.monotonic() > self._deadline:
                raise ServerFailedError(f"The server did not answer: {self.last_words}")
            if stopping.wait(POLL_SECONDS):
                raise ServerFailedError("The embedded MongoDB was stopped while it started.")

    def bound_log(self) -> None:
        """Empty `server.log` when it has grown too long."""
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > SERVER_LOG_BYTES_MAX:
                os.truncate(self._log, 0)

    def end_if_helpless(self) -> None:
        """Kill a process that lives on and does nothing: its storage has given up."""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - PANIC_BYTES))
            if PANIC in log.read() and self.alive:
                self.kill_now()

    def end(self) -> None:
        """Stop the process, cleanly if it can. Idempotent."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            # Seen when a client died inside a transaction. Durable all the same.
            logger.warning("the embedded MongoDB did not stop when asked and is killed")
            self.kill_now()

    def kill(self) -> None:
        self._process.kill()

    def kill_now(self) -> None:
        """Kill the process and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def _fork(self, engine: Engine) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._log.unlink(missing_ok=True)
        # A Ctrl-C in the terminal is for us, not for it: hence a group of its own. Not a session: Linux may
        # share the processor by sessions, and this one's has been left without any for half a minute. If we
        # end while it is stopped by a signal, Linux hangs it up.
        # The log is opened to append, so that it can be truncated under the server's hands.
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  the command is ours, see find_engines()
                self._command(engine),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=environment | engine.environment,
                process_group=0,
            )

    def _command(self, engine: Engine) -> list[str]:
        # Without a config file of ours the server would obey one in the user's home.
        config = self._directory / "server.toml"
        config.touch()
        command = [*engine.command, *engine.flags, "--config", str(config)]
        command += ["--host", "127.0.0.1", "--port", str(self._port_wanted)]
        command += ["--storage-path", str(self._directory), "--sync-on-commit"]
        command += ["--cache-size", CACHE_SIZE, "--oplog-max-entries", str(OPLOG_ENTRIES_MAX)]
        command += ["--oplog-retention-seconds", str(OPLOG_RETENTION_SECONDS)]
        if sys.platform == "linux":
            return [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command]
        return command

    def _words(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self._log.read_text(errors="replace")
        return ""

    def _cause_of_death(self) -> EmbeddedMongoError:
        words = self._words()
        if "Device or resource busy" in words:
            return DirectoryInUseError(self._directory)
        if "Address already in use" in words:
            port = self._port_wanted
            return PortTakenError(f"Port {port} of 127.0.0.1 is taken by another program.")
        return ServerFailedError(f"The server ended while it started: {self.last_words}")

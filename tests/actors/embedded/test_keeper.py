"""The embedded server: it starts, keeps its data, its shape and its distance from others."""

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from actors.embedded import keeper as embedded_mongo
from actors.embedded import server as embedded_engine
from actors.embedded.keeper import EmbeddedMongo, Wire
from actors.embedded.server import (
    DirectoryInUseError,
    Engine,
    EngineMissingError,
    PortTakenError,
    Server,
    ServerFailedError,
    WrongEngineError,
    find_engines,
    kill_server,
)
from actors.mongo.embedded_wire import MongoWire
from tests.builders.embedded_server import (
    DEADLINE_SECONDS,
    PlainWire,
    client_of,
    kill,
    runs,
    wait_until,
)
from tests.patience import PATIENCE_SECONDS
from tests.stopping import stop_process

REPOSITORY = Path(embedded_mongo.__file__).parents[2]
OWNER = """
import sys
from pathlib import Path
from actors.embedded.keeper import EmbeddedMongo
from tests.builders.embedded_server import PlainWire
server = EmbeddedMongo(Path(sys.argv[1]), wire=PlainWire())
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


def tables(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("secantus_*.wt")}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "mongo"


@pytest.fixture
def server(directory: Path) -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(directory, wire=PlainWire()) as server:
        yield server


@pytest.fixture
def owner(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that owns a server in the directory, and that server's pid."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        yield process, pid
        process.kill()
        wait_until(lambda: not runs(pid))


def test_a_started_server_answers_under_its_uri(server: EmbeddedMongo) -> None:
    with client_of(server.uri) as client:
        hello = client.admin.command("hello")

    assert server.alive
    assert hello["isWritablePrimary"]


def test_the_directory_is_for_its_owner_only(server: EmbeddedMongo, directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700


def test_the_server_listens_on_loopback_only(server: EmbeddedMongo) -> None:
    port = f"{parse_uri(server.uri)['nodelist'][0][1]:04X}"
    listening = "0A"

    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{server.pid}/net/{table}").read_text().splitlines()[1:]
    ]
    addresses = [line[1] for line in lines if line[3] == listening and line[1].endswith(":" + port)]

    assert addresses == [f"0100007F:{port}"]


def test_ctrl_c_in_our_terminal_is_not_for_it_and_it_shares_the_processor_as_we_do(
    server: EmbeddedMongo,
) -> None:
    """Linux may share time by sessions: the server's own has been left without any for half a minute."""
    assert server.pid is not None, "it runs"

    assert os.getpgid(server.pid) == server.pid
    assert os.getsid(server.pid) == os.getsid(0)


def test_stop_can_be_called_twice_and_before_start(directory: Path) -> None:
    server = EmbeddedMongo(directory, wire=PlainWire())
    server.stop()
    server.start()
    pid = server.pid

    server.stop()
    server.stop()

    assert pid is not None
    assert not runs(pid)
    assert not server.alive


def test_a_start_can_be_stopped_from_elsewhere_and_tried_again(directory: Path) -> None:
    engine = Engine("mute", (sys.executable, "-c", "import signal; signal.pause()"))
    server = EmbeddedMongo(directory, wire=PlainWire(), engine=engine)

    def stop_once_it_runs() -> None:
        wait_until(lambda: server.alive)
        server.stop()

    for _ in range(2):
        stopper = threading.Thread(target=stop_once_it_runs)
        stopper.start()
        with pytest.raises(ServerFailedError, match="stopped while it started"):
            server.start()
        stopper.join()

    assert not server.alive


def test_data_survives_a_clean_stop(directory: Path) -> None:
    server = EmbeddedMongo(directory, wire=PlainWire())
    with server, client_of(server.uri) as client:
        client.test.things.insert_many([{"_id": number} for number in range(1000)])

    with server, client_of(server.uri) as client:
        assert client.test.things.count_documents({}) == 1000


def test_acknowledged_writes_survive_a_sigkill_and_the_server_comes_back_by_itself(
    server: EmbeddedMongo, caplog: pytest.LogCaptureFixture
) -> None:
    uri, pid = server.uri, server.pid
    acknowledged: list[int] = []
    killed = threading.Event()

    def write_until_killed() -> None:
        with client_of(uri) as client, contextlib.suppress(PyMongoError):
            while not killed.is_set():
                client.test.things.insert_one({"_id": len(acknowledged)})
                acknowledged.append(len(acknowledged))

    writer = threading.Thread(target=write_until_killed)
    writer.start()
    wait_until(lambda: len(acknowledged) > 500)
    kill(pid)
    killed.set()
    writer.join(DEADLINE_SECONDS)
    assert not writer.is_alive()
    wait_until(lambda: server.pid not in (None, pid) and PlainWire().ping(uri))

    assert server.uri == uri
    assert "died and is restarted" in caplog.text
    with client_of(uri) as client:
        found = {thing["_id"] for thing in client.test.things.find()}
    assert found >= set(acknowledged)


def test_a_server_that_ended_for_want_of_room_is_said_to_have(
    server: EmbeddedMongo, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_engine, "DISK_BYTES_MIN", 1 << 60)  # No disk has as much.
    uri, pid = server.uri, server.pid
    assert pid is not None
    kill(pid)
    wait_until(lambda: server.pid not in (None, pid) and PlainWire().ping(uri))

    assert re.search(r"died and is restarted: the disk that holds \S+ is full\.", caplog.text)


def test_a_restart_that_fails_is_tried_again(
    server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_mongo, "RESTART_PAUSE_SECONDS", 0.05)
    end_sessions = PlainWire.end_orphaned_sessions
    tries: list[str] = []

    def fail_once(wire: PlainWire, uri: str) -> None:
        tries.append(uri)
        if len(tries) == 1:
            raise ConnectionError
        end_sessions(wire, uri)

    monkeypatch.setattr(PlainWire, "end_orphaned_sessions", fail_once)
    uri, pid = server.uri, server.pid
    with client_of(uri) as client:
        client.test.things.insert_one({"_id": 1})

    kill(pid)

    wait_until(lambda: len(tries) == 2 and PlainWire().ping(uri))
    assert server.uri == uri
    with client_of(uri) as client:
        assert client.test.things.find_one() == {"_id": 1}


def test_a_stopped_server_is_not_restarted(server: EmbeddedMongo) -> None:
    uri = server.uri
    keepers = [thread for thread in threading.enumerate() if thread.name == "embedded-mongo"]
    kill(server.pid)

    server.stop()

    assert not server.alive
    assert sum(keeper.is_alive() for keeper in keepers) == len(keepers) - 1
    assert not PlainWire().ping(uri)


def test_two_servers_on_one_directory_are_refused(server: EmbeddedMongo, directory: Path) -> None:
    with pytest.raises(
        DirectoryInUseError, match=r"Another embedded MongoDB already works in .*\."
    ):
        EmbeddedMongo(directory, wire=PlainWire()).start()

    assert PlainWire().ping(server.uri)


def test_a_directory_of_another_process_is_refused(
    owner: tuple[subprocess.Popen[str], int], directory: Path
) -> None:
    with pytest.raises(DirectoryInUseError):
        EmbeddedMongo(directory, wire=PlainWire()).start()


def test_the_server_ends_with_its_killed_owner_and_the_next_one_can_start(
    owner: tuple[subprocess.Popen[str], int], directory: Path
) -> None:
    process, pid = owner
    process.kill()
    process.wait()

    with EmbeddedMongo(directory, wire=PlainWire()) as server:
        assert server.alive

    assert not runs(pid)


def test_an_orphan_that_stands_still_keeps_the_next_one_from_nothing(
    owner: tuple[subprocess.Popen[str], int],
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded_mongo, "ORPHAN_WAIT_SECONDS", 0.5)
    process, pid = owner
    stop_process(pid)
    process.kill()
    process.wait()

    with EmbeddedMongo(directory, wire=PlainWire()) as server:
        assert server.alive

    assert not runs(pid)


def test_a_server_of_the_directory_that_does_not_stop_is_killed_and_no_other_process(
    directory: Path,
) -> None:
    wait = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen([*wait, str(directory)]) as server, subprocess.Popen(wait) as other:
        try:
            stop_process(server.pid)
            assert not kill_server(other.pid, directory)
            assert kill_server(server.pid, directory)
            assert server.wait(PATIENCE_SECONDS) == -signal.SIGKILL
            assert other.poll() is None
        finally:
            server.kill()
            other.kill()


def test_a_server_whose_storage_has_given_up_is_started_again(directory: Path) -> None:
    with EmbeddedMongo(directory, wire=PlainWire()) as server:
        before = server.pid
        with (directory / "server.log").open("a") as log:
            log.write("the process must exit and restart: WT_PANIC: WiredTiger library panic\n")
        wait_until(lambda: server.pid != before and server.alive)

        assert before is not None
        assert not runs(before)


def test_a_directory_of_another_engine_is_refused_and_left_alone(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    (directory / "engine").write_text("secantusd-zig\n")

    with pytest.raises(WrongEngineError, match=r"was written by secantusd-zig, not by .*\."):
        EmbeddedMongo(directory, wire=PlainWire()).start()

    assert [path.name for path in directory.iterdir()] == ["engine"]
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_database_of_another_program_is_refused_and_left_alone(directory: Path) -> None:
    directory.mkdir()
    (directory / "WiredTiger").touch()

    with pytest.raises(WrongEngineError, match=r"holds a database of another program\."):
        EmbeddedMongo(directory, wire=PlainWire()).start()

    assert [path.name for path in directory.iterdir()] == ["WiredTiger"]


def test_a_creation_that_was_killed_is_begun_again(directory: Path) -> None:
    directory.mkdir()
    (directory / "engine").write_text(f"{find_engines()[0].name} creating\n")
    (directory / "WiredTiger.turtle").write_text("half a page")

    with EmbeddedMongo(directory, wire=PlainWire()) as server:
        assert PlainWire().ping(server.uri)

    assert (directory / "engine").read_text() == f"{find_engines()[0].name}\n"


def test_a_creation_that_fails_is_begun_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedMongo(directory, wire=PlainWire())
    make_tables = PlainWire.make_tables
    killed: list[int | None] = []

    def kill_at_first(wire: PlainWire, uri: str) -> None:
        assert (directory / "engine").read_text().endswith(" creating\n")
        if not killed:
            killed.append(server.pid)
            (directory / "secantus_stale.wt").touch()
            kill(server.pid)
            raise ConnectionError
        make_tables(wire, uri)

    monkeypatch.setattr(PlainWire, "make_tables", kill_at_first)

    with server:
        assert server.alive
        assert server.pid not in killed

    assert "secantus_stale.wt" not in tables(directory)
    assert (directory / "engine").read_text() == f"{find_engines()[0].name}\n"


@pytest.mark.parametrize("wire", [PlainWire(), MongoWire()], ids=["plain", "mongo"])
def test_no_table_is_made_after_the_first_start(directory: Path, wire: Wire) -> None:
    with EmbeddedMongo(directory, wire=wire) as server, client_of(server.uri) as client:
        at_first = tables(directory)
        names = client.list_database_names()
        for number in range(40):
            client.test[f"things-{number}"].insert_one({})

        assert tables(directory) == at_first
        assert not {"scratch", "allotment-scratch"} & set(names)
        if find_engines()[0].name == "secantusd-rs":
            assert at_first >= {f"secantus_documents_sh{number}.wt" for number in range(16)}


def test_tables_are_made_only_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedMongo(directory, wire=PlainWire())
    with server:
        pass
    monkeypatch.delattr(PlainWire, "make_tables")

    with server:
        assert server.alive


def test_a_taken_port_is_refused(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortTakenError, match=rf"Port {port} of 127\.0\.0\.1 is taken"):
            EmbeddedMongo(directory, wire=PlainWire(), port=port).start()


def test_a_server_that_dies_while_it_starts_is_quoted(directory: Path) -> None:
    engine = Engine("broken", (sys.executable, "-c", "raise SystemExit('no disk today')"))

    with pytest.raises(ServerFailedError, match="no disk today"):
        EmbeddedMongo(directory, wire=PlainWire(), engine=engine).start()


def test_a_server_that_never_answers_is_given_up(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_engine, "START_TIMEOUT_SECONDS", 0.2)
    engine = Engine("mute", (sys.executable, "-c", "import signal; signal.pause()"))

    with pytest.raises(ServerFailedError, match="did not answer"):
        EmbeddedMongo(directory, wire=PlainWire(), engine=engine).start()


def test_a_missing_engine_is_named(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOTMENT_ENGINE_DIR", str(tmp_path))

    with pytest.raises(EngineMissingError):
        EmbeddedMongo(directory, wire=PlainWire()).start()


def test_the_server_log_is_bounded(
    server: EmbeddedMongo, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_engine, "SERVER_LOG_BYTES_MAX", 1000)
    (directory / "server.log").write_text("x" * 1001)

    wait_until(lambda: (directory / "server.log").stat().st_size == 0)


def test_the_care_goes_on_after_an_error(
    server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    calls: list[str] = []

    def refuse(_: Server) -> None:
        calls.append("care")
        raise ConnectionError

    monkeypatch.setattr(Server, "bound_log", refuse)

    wait_until(lambda: len(calls) >= 2)

    assert "failed, goes on" in caplog.text

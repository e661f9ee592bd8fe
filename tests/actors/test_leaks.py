"""Each guard against what a test leaves open fails a test that does."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import leaks

pytest_plugins = ["pytester"]

HEAD = """
import pathlib, pymongo, pytest, socket, subprocess, sys, threading
from tests.actors.test_leaks import KEPT, wait_for
"""
LEAKS = {
    "transaction": """
        client = pymongo.MongoClient({uri!r})
        session = client.start_session()
        session.start_transaction()
        client.leaky.things.insert_one({{}}, session=session)
        KEPT.extend([client.close, session.end_session])
    """,
    "process": """
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        KEPT.append(process.communicate)
    """,
    "thread": """
        go_on = threading.Event()
        threading.Thread(target=go_on.wait).start()
        KEPT.append(go_on.set)
    """,
    "thread of ours": """
        go_on = threading.Event()
        threading.Thread(target=wait_for, args=(go_on,), daemon=True).start()
        KEPT.append(go_on.set)
    """,
    "socket": """
        server = socket.create_server(("127.0.0.1", 0))
        KEPT.append(server.close)
    """,
    "file": """
        pathlib.Path("left.txt").touch()
    """,
}
KEPT: list[Callable[[], Any]] = []
"""What ends the things that were left, the last one first."""


def wait_for(event: threading.Event) -> None:
    event.wait()


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.Pytester]:
    """Yield what runs tests under the guards alone; what they leave is ended afterwards."""
    monkeypatch.setattr(leaks, "ENDS_SECONDS_MAX", 0.2)
    yield pytester
    while KEPT:
        KEPT.pop()()


def outcome_of(inner: pytest.Pytester, text: str) -> pytest.RunResult:
    inner.makepyfile(HEAD + text)
    return inner.runpytest_inprocess("-p", "tests.leaks", "-p", "no:cacheprovider", "-n0")


@pytest.mark.parametrize("kind", LEAKS)
def test_a_test_that_leaves_something_fails_and_the_next_one_does_not(
    inner: pytest.Pytester, mongo_uri: str, kind: str
) -> None:
    leaking = f"def test_leaks():{LEAKS[kind].format(uri=mongo_uri)}"

    result = outcome_of(inner, f"{leaking}\ndef test_does_not(): pass\n")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([f"E *{kind.split(maxsplit=1)[0]} *: *", "ERROR *::test_leaks*"])


def test_what_a_fixture_of_a_wider_scope_opens_is_no_leak_of_a_test(
    inner: pytest.Pytester,
) -> None:
    fixture = """
@pytest.fixture(scope="module")
def server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server

@pytest.fixture
def asked(request): return request.getfixturevalue("server")

def test_first(asked): pass
def test_second(asked): pass
"""
    outcome_of(inner, fixture).assert_outcomes(passed=2)


def test_what_is_ended_is_no_leak(inner: pytest.Pytester, mongo_uri: str) -> None:
    orderly = f"""
def test_orderly(tmp_path):
    with pymongo.MongoClient({mongo_uri!r}) as client, client.start_session() as session:
        with session.start_transaction():
            client.orderly.things.insert_one({{}}, session=session)
    subprocess.run([sys.executable, "-c", ""], check=True)
    (tmp_path / "left.txt").touch()
"""
    outcome_of(inner, orderly).assert_outcomes(passed=1)

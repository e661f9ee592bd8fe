"""Two proxies before one server, as one replica set whose primary can be changed.

Both members write to the same server, so nothing needs to be replicated. A majority that stalls
is played by what clients are told: a write is done, and its confirmation fails. `roll_back` takes
back the documents that were inserted meanwhile. Where a stall is `lost`, nothing is done at all:
to who reads what a majority has, that is the same as a rollback of everything.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pymongo
from bson import ObjectId
from pymongo.uri_parser import parse_uri

from tests.wire.answers import NO_WRITES, RETRYABLE, TRANSIENT, refusal, unconfirmed
from tests.wire.proxy import (
    SET_NAME,
    Action,
    Answer,
    Command,
    ForwardThenAnswer,
    Proxy,
    without_streaming,
)

WRITES = ("insert", "update", "delete", "findAndModify", "commitTransaction")


class ReplicaSet:
    """A set of two. No member is the primary between `step_down` and `elect`."""

    def __init__(self, uri: str) -> None:
        (target,) = parse_uri(uri)["nodelist"]
        self._server: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
        self._elections = 1
        self._primary: int | None = 0
        self._stalled = self._lost = False
        self._unconfirmed: list[tuple[str, str, Any]] = []
        self._lock = threading.Lock()
        self.members = [Proxy(target), Proxy(target)]
        for index, member in enumerate(self.members):
            member.rewrite_hello = lambda hello, index=index: self._hello(index, hello)  # type: ignore[misc]
            member.decide = lambda command, index=index: self._decide(index, command)  # type: ignore[misc]

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(self._hosts)}/?replicaSet={SET_NAME}"

    @property
    def primary(self) -> Proxy:
        assert self._primary is not None, "one is elected"
        return self.members[self._primary]

    @property
    def _hosts(self) -> list[str]:
        return [member.host for member in self.members]

    def close(self) -> None:
        for member in self.members:
            member.close()
        self._server.close()

    def step_down(self) -> None:
        """Leave the set without a primary."""
        self._primary = None

    def elect(self, index: int) -> None:
        """Make a member the primary."""
        self._elections += 1
        self._primary = index

    def elect_later(self, index: int, seconds: float) -> threading.Timer:
        """Leave the set without a primary for so many seconds."""
        self.step_down()
        timer = threading.Timer(seconds, self.elect, (index,))
        timer.start()
        return timer

    @contextlib.contextmanager
    def stalled(self, *, lost: bool = False) -> Iterator[None]:
        """Let no write be confirmed by a majority meanwhile; `lost`: nor be done."""
        self._stalled, self._lost = True, lost
        try:
            yield
        finally:
            self._stalled = self._lost = False

    def roll_back(self) -> None:
        """Take back what was inserted while no majority confirmed it."""
        with self._lock:
            while self._unconfirmed:
                database, collection, document_id = self._unconfirmed.pop()
                self._server[database][collection].delete_one({"_id": document_id})

    def _hello(self, index: int, hello: Command) -> Command:
        is_primary = index == self._primary
        named = {
            "isWritablePrimary": is_primary,
            "ismaster": is_primary,
            "secondary": not is_primary,
            "setName": SET_NAME,
            "setVersion": 1,
            "hosts": self._hosts,
            "me": self._hosts[index],
        }
        kept = without_streaming(hello)
        kept.pop("primary", None)
        if is_primary:
            term = self._elections.to_bytes(12, "big")
            named |= {"primary": self._hosts[index], "electionId": ObjectId(term)}
        else:
            kept.pop("electionId", None)
        return kept | named

    def _decide(self, index: int, command: Command) -> Action | None:
        if index != self._primary:
            return Answer(_not_primary(command))
        action = self.members[index].by_rules(command)
        if action is None and self._stalled and _waits_for_a_majority(command):
            return self._leave_unconfirmed(command)
        if self._stalled:
            self._note(command)
        return action

    def _leave_unconfirmed(self, command: Command) -> Action:
        is_commit = "commitTransaction" in command
        answer = unconfirmed(64, **({} if is_commit else {"n": 1}))
        if not self._lost:
            self._note(command)
            return ForwardThenAnswer(answer)
        if is_commit:
            sessions = [{"id": command["lsid"]["id"]}]
            self._server.admin.command("killSessions", sessions)
        return Answer(answer)

    def _note(self, command: Command) -> None:
        if "insert" in command:
            with self._lock:
                self._unconfirmed += [
                    (command["$db"], command["insert"], document["_id"])
                    for document in command["documents"]
                ]


def _waits_for_a_majority(command: Command) -> bool:
    is_statement = command.get("autocommit") is False and "commitTransaction" not in command
    return next(iter(command)) in WRITES and not is_statement


def _not_primary(command: Command) -> Command:
    if command.get("autocommit") is False:
        return refusal(10107, TRANSIENT)
    if "txnNumber" in command:
        return refusal(10107, RETRYABLE, NO_WRITES)
    return refusal(10107 if next(iter(command)) in WRITES else 13435)

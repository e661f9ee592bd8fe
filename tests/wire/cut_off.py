"""A primary that the others have deposed and that does not know it: it goes on with what it had.

It answers reads from a copy of one database, made when it is cut off. It confirms no write, and
what must come after something that it never heard of it leaves without an answer, as it leaves
what needs a majority's word (`linearizable`).
"""

from typing import Any

import pymongo
from bson import Timestamp
from pymongo.database import Database

from tests.wire.answers import unconfirmed
from tests.wire.proxy import SET_NAME, Action, Answer, Close, Command, Proxy, without_streaming
from tests.wire.replica_set import WRITES, ReplicaSet

OF_THE_SESSION = ("lsid", "$clusterTime", "readConcern", "txnNumber", "autocommit", "$db")


class CutOffPrimary:
    """One member of a set whose clients do not reach the other."""

    def __init__(self, members: ReplicaSet, index: int, server: str) -> None:
        self._members = members
        self._other = 1 - index
        self._member: Proxy = members.members[index]
        self._server: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(server)
        self._copy: Database[dict[str, Any]] | None = None
        self._at = Timestamp(0, 0)
        self._before = self._member.decide, self._member.rewrite_hello
        self._member.rewrite_hello = self._hello

    @property
    def uri(self) -> str:
        """Where those clients find it."""
        return f"mongodb://{self._member.host}/?replicaSet={SET_NAME}"

    def depose(self, database: str) -> None:
        """Elect the other; this one does not hear of it, nor of anything that is written then."""
        self._copy = self._server[f"{database}-cut-off"]
        for name in self._server[database].list_collection_names():
            documents = list(self._server[database][name].find())
            if documents:
                self._copy[name].insert_many(documents)
        with self._server.start_session() as session:
            self._copy.cut.insert_one({}, session=session)
            assert session.operation_time is not None, "it has written"
            self._at = session.operation_time
        self._member.decide = self._decide
        self._members.elect(self._other)

    def join_again(self) -> None:
        """Let it hear of the others. It is no primary."""
        self._member.decide, self._member.rewrite_hello = self._before
        if self._copy is not None:
            self._server.drop_database(self._copy.name)
        self._server.close()

    def _hello(self, hello: Command) -> Command:
        host = self._member.host
        named: Command = {"isWritablePrimary": True, "ismaster": True, "secondary": False}
        named |= {"setName": SET_NAME, "hosts": [host], "me": host, "primary": host}
        return without_streaming(hello) | named

    def _decide(self, command: Command) -> Action | None:
        assert self._copy is not None, "it is deposed"
        name = next(iter(command))
        if name in WRITES:
            return Answer(unconfirmed(64, n=1))
        if name != "find":
            return None
        concern = command.get("readConcern", {})
        waits = concern.get("afterClusterTime", self._at) > self._at
        if waits or concern.get("level") == "linearizable":
            return Close()
        plain = {key: value for key, value in command.items() if key not in OF_THE_SESSION}
        found = self._copy.command(plain)
        return Answer({"ok": 1.0, "cursor": found["cursor"], "operationTime": self._at})

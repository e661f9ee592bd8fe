"""What one process reads of MongoDB is never older than what it has written, or been told of.

A majority's state is read, and a primary that was just elected may show an older one than its
predecessor had confirmed. So reads are made causally after the newest write of ours. Where more
than that is asked for (at the start, where a write is in doubt or was refused, after an election)
a write is confirmed by a majority first: with it, all that was there before it.

A primary that was deposed and does not know it yet shows what it had. It confirms no write, and
what comes after it it never shows: a read that must see more waits there in vain, and fails.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from bson import Int64, Timestamp
from pymongo.client_session import ClientSession
from pymongo.topology_description import TopologyDescription

from actors.mongo.embedded_wire import Documents
from actors.protocol.store import Moment


def moment_of(time: object) -> Moment | None:
    """Return an instant of the database's clock; None: it says none."""
    return (time.time, time.inc) if isinstance(time, Timestamp) else None


class Causality:
    """The newest write of one process. Thread-safe."""

    def __init__(self, database: Documents) -> None:
        self._database = database
        self._owner: str | None = None
        self._lock = threading.Lock()
        self._newest: Timestamp | None = None
        self._doubts = self._resolved = 0
        self._topology: TopologyDescription | None = None
        self._primary: Any = None

    def begin(self, owner: str) -> None:
        """Confirm by writes to the shard document of `owner`; the first comes before any read."""
        self._owner = owner
        self.doubt()

    def doubt(self) -> None:
        """Have the next read wait for all that may have been written until now."""
        with self._lock:
            self._doubts += 1

    def note(self, session: ClientSession) -> None:
        """Have later reads come after what was written in a session, of one that has begun."""
        if self._owner is None:
            return
        written = session.operation_time
        if written is not None:
            with self._lock:
                self._newest = max(written, self._newest or written)

    def hear(self, moment: Moment) -> None:
        """Have later reads come after what another process has seen."""
        with self._lock:
            heard = Timestamp(*moment)
            self._newest = max(heard, self._newest or heard)

    @contextlib.contextmanager
    def session(self) -> Iterator[ClientSession | None]:
        """Yield a session for reads; None as long as nothing is known that they must see.

        Raises PyMongoError: no majority confirms what they would have to see.
        """
        self._resolve()
        if self._newest is None:
            yield None
        else:
            with self.begun_session() as session:
                yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[ClientSession]:
        """Yield a session as `session` does, for what needs one in any case."""
        self._resolve()
        with self.begun_session() as session:
            yield session

    @contextlib.contextmanager
    def begun_session(self) -> Iterator[ClientSession]:
        """Yield a session for reads that come after what is known already."""
        with self._database.client.start_session(causal_consistency=True) as session:
            if self._newest is not None:
                session.advance_operation_time(self._newest)
            yield session

    def _resolve(self) -> None:
        if self._owner is None:
            return
        self._notice_election()
        doubts = self._doubts
        if doubts == self._resolved:
            return
        with self._database.client.start_session() as session:
            self._database.allotment_shards.update_one(
                {"_id": self._owner},
                {"$inc": {"confirmed": Int64(1)}},
                upsert=True,
                session=session,
            )
        self.note(session)
        self._resolved = doubts

    def _notice_election(self) -> None:
        """Doubt where another primary than before answers: it may not show yet what it has."""
        topology = self._database.client.topology_description
        if topology is self._topology:
            return
        self._topology = topology
        for server in topology.server_descriptions().values():
            elected = (server.address, server.election_id)
            if server.server_type_name == "RSPrimary" and elected != self._primary:
                self._primary = elected
                self.doubt()

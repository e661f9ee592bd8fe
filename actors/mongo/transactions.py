"""Runs transactions until it is known what became of them, and ends what lost ones left open."""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeVar

from pymongo.client_session import ClientSession
from pymongo.errors import (
    ConnectionFailure,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from actors.mongo.embedded_wire import Documents
from actors.mongo.failures import (
    NO_SUCH_TRANSACTION,
    TRANSIENT,
    UNAUTHORIZED,
    UNKNOWN_COMMIT,
    WRITE_CONFLICT,
    passes,
)
from actors.protocol.store import ELECTION_SECONDS

PAUSE_SECONDS = 0.005  # Before the next try; it grows by this,
PAUSE_SECONDS_MAX = 0.25  # up to here.
CONFLICTS_MAX = 5  # How often what met another transaction is tried: a smaller one meets fewer.
SESSIONS_MAX = 100  # Noted of one shard and its earlier incarnations, about three of each.

T = TypeVar("T")
logger = logging.getLogger(__name__)


class CommitInDoubtError(Exception):
    """A transaction may have been committed, or may be later. `error` is what the driver says."""

    def __init__(self, error: PyMongoError) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class Transactions:
    """The transactions of one process. Thread-safe, as pymongo's client is."""

    def __init__(self, database: Documents) -> None:
        self._database = database
        self._owner: str | None = None
        self._noted: set[bytes] = set()
        self._orphaned: dict[bytes, None] = {}
        self._may_end_sessions = True

    def take_over(self, owner: str) -> bool:
        """End the transactions that an earlier incarnation of a shard left open; say if it has begun any.

        A killed process leaves them to the server, which lets others wait for them for up to a
        minute. From here on sessions are noted for the incarnation after this one.
        Raises PyMongoError.
        """
        mark = self._database.allotment_shards.find_one({"_id": owner}) or {}
        self._end_sessions(sessions := mark.get("sessions", []))
        self._owner = owner
        return bool(sessions)

    def run(self, write: Callable[[ClientSession], object]) -> ClientSession:
        """Run one write in a transaction, again where it wrote nothing; return its ended session.

        Raises CommitInDoubtError, or PyMongoError: then nothing was written.
        """

        def once() -> ClientSession:
            self._end_orphans()
            with self._database.client.start_session() as session:
                self.note(session)
                try:
                    with session.start_transaction():
                        write(session)
                        _commit(session)
                except (PyMongoError, CommitInDoubtError) as error:
                    if _is_lost(error):
                        self._orphaned[session.session_id["id"]] = None
                    raise
            return session

        return until_elected(once, TRANSIENT)

    def _end_orphans(self) -> None:
        """End the transactions of which the server may not have heard the end.

        A server that was only slow goes on with them, and everything that meets them is refused
        until it gives them up, a minute later. Where ending them is refused, that is waited for.
        """
        orphaned = list(self._orphaned)
        self._end_sessions(orphaned)
        for session_id in orphaned:
            self._orphaned.pop(session_id, None)

    def _end_sessions(self, session_ids: Sequence[bytes]) -> None:
        if not session_ids or not self._may_end_sessions:
            return
        sessions = [{"id": session_id} for session_id in session_ids]
        try:
            self._database.client.admin.command("killSessions", sessions)
        except OperationFailure as error:
            if passes(error) and error.code != UNAUTHORIZED:
                raise
            self._may_end_sessions = False
            logger.warning(
                "MongoDB refuses killSessions (error %s): what a lost process, or a lost connection,"
                " leaves open in a transaction holds others up until the server ends it, a minute"
                " later",
                error.code,
            )

    def note(self, session: ClientSession) -> None:
        """Keep a session's id where the next incarnation of this shard finds it.

        Those of earlier incarnations stay beside it: one of them may have been only slow, and go
        on with the sessions it has noted.
        """
        session_id = session.session_id["id"]
        if self._owner is None or session_id in self._noted:
            return
        self._database.allotment_shards.update_one(
            {"_id": self._owner},
            {"$push": {"sessions": {"$each": [session_id], "$slice": -SESSIONS_MAX}}},
            upsert=True,
        )
        self._noted.add(session_id)


def until_elected(write: Callable[[], T], label: str) -> T:
    """Return what a write does, done again while its errors have a label: it wrote nothing.

    For as long as an election may take; what meets other transactions, a few times only.
    """
    until = time.monotonic() + ELECTION_SECONDS
    conflicts = 0
    for attempt in count(1):
        try:
            return write()
        except PyMongoError as error:
            conflicts += getattr(error, "code", None) == WRITE_CONFLICT
            is_late = time.monotonic() >= until or conflicts == CONFLICTS_MAX
            if is_late or not error.has_error_label(label):
                raise
        time.sleep(min(PAUSE_SECONDS * attempt, PAUSE_SECONDS_MAX))
    raise AssertionError("it is done, or raises")


def _commit(session: ClientSession) -> None:
    """Commit, again where what became of it is unknown: to commit twice is to commit once."""
    until = time.monotonic() + ELECTION_SECONDS
    for attempt in count(1):
        try:
            session.commit_transaction()
        except PyMongoError as error:
            was_sent = attempt > 1 or not isinstance(error, ServerSelectionTimeoutError)
            is_gone = attempt == 1 and getattr(error, "code", None) == NO_SUCH_TRANSACTION
            if error.has_error_label(TRANSIENT) or is_gone or not was_sent:
                raise
            if not error.has_error_label(UNKNOWN_COMMIT) or time.monotonic() >= until:
                raise CommitInDoubtError(error) from error
        else:
            return
        time.sleep(min(PAUSE_SECONDS * attempt, PAUSE_SECONDS_MAX))


def _is_lost(error: PyMongoError | CommitInDoubtError) -> bool:
    """Say whether the connection was lost, and its session with it: the driver uses it no more.

    Where none was found, or another primary is, the session is used again, and ends what was open.
    """
    cause = error.error if isinstance(error, CommitInDoubtError) else error
    unsent = (NotPrimaryError, ServerSelectionTimeoutError)
    return isinstance(cause, ConnectionFailure) and not isinstance(cause, unsent)

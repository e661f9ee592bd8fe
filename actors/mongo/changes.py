"""The change stream on MongoDB: what others wrote, and the beats that come back through it.

Our own writes raise `revision`, so an update without it is another program's, and so is an inserted
document that does not begin with 1. That is decided on the server: our own writes never travel.
"""

import contextlib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pymongo
from bson import Int64, Timestamp
from bson.codec_options import CodecOptions
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

from actors.mongo.causality import moment_of
from actors.mongo.change_reader import AWAIT_MILLISECONDS, StreamReader, stream_failure
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import is_reference, key_of, name_of, others, read_user_id
from actors.protocol.store import Moment, StorageUnavailableError
from actors.sync.changes import Beat, HistoryLostError, Position, StreamedChange
from domain.values import UserId

FOLLOWED = ["subscriptions", "dailycredits", "packs"]
STATE = "allotment_sync_state"
POSITION_ID = "position"
# The server looks through all that was written since a token before it answers.
RESUME_SECONDS_MAX = 20.0
RESUMES_MAX = 2  # So often it may take longer, then everything is read again in its place.
OWNER_FIELDS = ("user_id", "subscription_id")

PIPELINE: list[Mapping[str, Any]] = [
    {
        "$match": {
            "$or": [
                {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
                {"operationType": {"$in": ["drop", "rename"]}, "ns.coll": {"$in": FOLLOWED}},
                {"operationType": "rename", "to.coll": {"$in": FOLLOWED}},
                {"operationType": {"$in": ["replace", "delete"]}, "ns.coll": {"$in": FOLLOWED}},
                {
                    "operationType": "insert",
                    "ns.coll": {"$in": FOLLOWED},
                    # What we insert begins with 1; a restored document may be further.
                    "fullDocument.revision": {"$ne": 1},
                },
                {
                    "operationType": "update",
                    "ns.coll": {"$in": FOLLOWED},
                    "updateDescription.updatedFields.revision": {"$exists": False},
                },
                {"ns.coll": STATE, "documentKey._id": POSITION_ID},
            ]
        }
    },
    {
        "$project": {  # Only what tells the owner: documents may be large, and broken elsewhere.
            "operationType": 1,
            "ns.coll": 1,
            "clusterTime": 1,
            "documentKey._id": 1,
            **{f"fullDocument.{n}": 1 for n in ("_id", *OWNER_FIELDS, "beat", "sent")},
            **{f"updateDescription.updatedFields.{n}": 1 for n in (*OWNER_FIELDS, "beat", "sent")},
            "updateDescription.removedFields": 1,
        }
    },
]


class MongoChanges:
    """The stream of one database. `open`, `take` and `close` belong to one thread."""

    def __init__(self, database: Documents, streams: Documents | None = None) -> None:
        """`streams`: the database by a client without a socket timeout, for the stream alone."""
        options: CodecOptions[dict[str, Any]] = database.codec_options.with_options(
            unicode_decode_error_handler="replace"
        )
        self._database = database.with_options(codec_options=options)
        streams = database if streams is None else streams
        self._streams = streams.with_options(codec_options=options)
        self._slow_resumes = 0
        self._reader: StreamReader | None = None

    def stored(self) -> Position | None:
        """Return the position that was stored last; None before the first."""
        with unavailable_on_error():
            document = self._database[STATE].find_one({"_id": POSITION_ID}) or {}
        token, beat = document.get("token"), document.get("token_beat")
        if token is None:
            return None
        if not isinstance(token, dict) or not isinstance(beat, int):
            raise HistoryLostError("the stored position is not one")
        return Position(token, beat)

    def open(self, position: Position | None) -> None:
        """Open the stream after a position, or from now on."""
        self.close()
        try:
            with pymongo.timeout(RESUME_SECONDS_MAX):
                stream = self._streams.watch(
                    PIPELINE,
                    resume_after=None if position is None else position.token,
                    max_await_time_ms=AWAIT_MILLISECONDS,
                )
        except (TypeError, ValueError) as error:  # Not even the client takes the token.
            raise HistoryLostError(str(error)) from error
        except PyMongoError as error:
            if position is not None and self._is_too_slow(error):
                raise HistoryLostError("the stream takes too long to resume") from error
            raise stream_failure(error) from error
        self._slow_resumes = 0
        self._reader = StreamReader(stream)

    def _is_too_slow(self, error: PyMongoError) -> bool:
        """Count a resume that timed out; say whether there is no hope in another."""
        if not error.timeout or isinstance(error, ServerSelectionTimeoutError):
            return False
        self._slow_resumes = (self._slow_resumes + 1) % RESUMES_MAX
        return self._slow_resumes == 0

    def take(self) -> Sequence[StreamedChange]:
        """Return what has arrived, or wait for up to TAKE_SECONDS."""
        assert self._reader is not None, "it is open"
        events = self._reader.take()
        try:
            with self._after(events) as session:
                self._look_up(events, session)
                owners = self._owners_of(
                    (_subscription_of(e) for e in events if _is_day(e)), session
                )
        except PyMongoError as error:
            raise StorageUnavailableError(type(error).__name__) from error
        return [_change(event, owners) for event in events]

    def close(self) -> None:
        """Close the stream, if it is open."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def newest_beat(self) -> int:
        """Return the number of the newest beat; 0 where there is none that can be read."""
        with unavailable_on_error():
            document = self._database[STATE].find_one({"_id": POSITION_ID}) or {}
        number = document.get("beat")
        return number if isinstance(number, int) else 0

    def moment(self) -> Moment | None:
        """Return one not before the open stream's beginning."""
        client = self._streams.client
        with unavailable_on_error(), client.start_session(causal_consistency=True) as session:
            self._streams[STATE].find_one({"_id": POSITION_ID}, ["_id"], session=session)
            known = (session.cluster_time or {}).get("clusterTime"), session.operation_time
        return max((moment for time in known if (moment := moment_of(time))), default=None)

    def beat(self, sender: str, sent: float, position: Position | None) -> None:
        """Write the next beat, and store the position with it."""
        # One text: a field that stays as it was would not come back through the stream.
        fields: dict[str, Any] = {"sent": f"{sender} {sent}"}
        if position is not None:
            fields |= {"token": position.token, "token_beat": Int64(position.beat)}
        with unavailable_on_error():
            self._database[STATE].update_one(
                {"_id": POSITION_ID}, {"$inc": {"beat": Int64(1)}, "$set": fields}, upsert=True
            )

    @contextlib.contextmanager
    def _after(self, events: Sequence[Mapping[str, Any]]) -> Iterator[ClientSession]:
        """Yield a session whose reads are not older than events: another server may answer them."""
        with self._database.client.start_session(causal_consistency=True) as session:
            for event in events:
                if isinstance(event.get("clusterTime"), Timestamp):
                    session.advance_operation_time(event["clusterTime"])
            yield session

    def _look_up(self, events: Sequence[dict[str, Any]], session: ClientSession) -> None:
        """Give updates their documents, as far as they tell the owner; deleted ones stay without.

        Here, many at once: a server that is asked to do so (`updateLookup`) may look up every
        document of ours, too, before it leaves our updates out.
        """
        for name in FOLLOWED:
            updates = [
                e for e in events if e["operationType"] == "update" and e["ns"]["coll"] == name
            ]
            if updates:
                ids = [e["documentKey"]["_id"] for e in updates]
                found = self._database[name].find(
                    {"_id": {"$in": ids}}, OWNER_FIELDS, session=session
                )
                documents = {name_of(document["_id"]): document for document in found}
                for event in updates:
                    event["fullDocument"] = documents.get(name_of(event["documentKey"]["_id"]))

    def _owners_of(self, references: Iterable[Any], session: ClientSession) -> dict[Hashable, Any]:
        """Return the user of each subscription that there is, whatever type names it."""
        wanted = {key_of(i): i for r in references if is_reference(r) for i in (r, *others(r))}
        if not wanted:
            return {}
        where = {"_id": {"$in": [*wanted.values()]}}
        found = self._database.subscriptions.find(where, {"user_id": 1}, session=session)
        return {key_of(document["_id"]): document.get("user_id") for document in found}


# --- what an event says -----------------------------------------------------------------


def _change(event: Mapping[str, Any], owners: Mapping[Any, Any]) -> StreamedChange:
    return _told(event, owners)._replace(moment=moment_of(event.get("clusterTime")))


def _told(event: Mapping[str, Any], owners: Mapping[Any, Any]) -> StreamedChange:
    if event["ns"]["coll"] == STATE:
        return _beat(event)
    kind, document_id = event["operationType"], name_of(event["documentKey"]["_id"])
    document = event.get("fullDocument")
    named = document_id if document is None or kind == "replace" or _moved(event) else None
    if document is None:  # Deleted, now or since.
        return StreamedChange(event["_id"], document_id=named)
    try:
        return StreamedChange(event["_id"], _users(event, document, owners), named)
    except ValueError as error:
        where = f"{event['ns']['coll']} {document_id}"
        return StreamedChange(event["_id"], document_id=named, unreadable=f"{where}: {error}")


def _users(
    event: Mapping[str, Any], document: Mapping[str, Any], owners: Mapping[Hashable, Any]
) -> tuple[UserId, ...]:
    """Return whose a document may be. ValueError: none that accounts are found by."""
    if not _is_day(event):
        return (read_user_id(document.get("user_id")),)
    reference = document.get("subscription_id")
    names = (reference, *others(reference)) if is_reference(reference) else ()
    found = [owners[key_of(name)] for name in names if key_of(name) in owners]
    if not found and event["operationType"] != "update":
        raise ValueError("its subscription_id names no subscription")
    return tuple(map(read_user_id, found))


def _beat(event: Mapping[str, Any]) -> StreamedChange:
    """Read a beat from what the event itself says: the document may be further by now."""
    fields = (
        event.get("updateDescription", {}).get("updatedFields")
        if event["operationType"] == "update"
        else event.get("fullDocument")
    ) or {}
    number, sent = fields.get("beat"), str(fields.get("sent"))
    if not isinstance(number, int):  # Somebody else has changed or deleted our document.
        raise HistoryLostError("the document of the beats was changed")
    sender, _, at = sent.rpartition(" ")
    return StreamedChange(event["_id"], beat=Beat(number, sender, float(at) if sender else 0.0))


def _is_day(event: Mapping[str, Any]) -> bool:
    return bool(event["ns"]["coll"] == "dailycredits")


def _moved(event: Mapping[str, Any]) -> bool:
    """Say whether the document may have been somebody else's before this update."""
    update = event.get("updateDescription") or {}
    touched = {*(update.get("updatedFields") or ()), *(update.get("removedFields") or ())}
    return not touched.isdisjoint(OWNER_FIELDS)


def _subscription_of(event: Mapping[str, Any]) -> Any:
    return (event.get("fullDocument") or {}).get("subscription_id")

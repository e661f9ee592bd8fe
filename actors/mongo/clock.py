"""What the database keeps and tells of time: how far a test clock is ahead, and what others say."""

from datetime import UTC, datetime, timedelta

from bson import Int64

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.protocol.store import UnsuitableDatabaseError
from actors.runtime.clock_doubt import Witness

MICROSECOND = timedelta(microseconds=1)


class MongoClock:
    """Keeps how far the clock is ahead of the real one."""

    def __init__(self, database: Documents) -> None:
        self._clock = database.allotment_test_clock

    def check(self, *, may_be_ahead: bool) -> None:
        """Refuse a database whose clock is ahead of a service that goes by the real one."""
        if self.offset() and not may_be_ahead:
            raise UnsuitableDatabaseError(
                "The test clock of this database was set forward: start with"
                " ALLOTMENT_TEST_CLOCK=1, or with another database."
            )

    def offset(self) -> timedelta:
        """Return how far the clock is ahead; nothing where it was never set."""
        with unavailable_on_error():
            document = self._clock.find_one({"_id": "service"}) or {}
        return timedelta(microseconds=int(document.get("ahead_us", 0)))

    def advance(self, offset: timedelta) -> timedelta:
        """Keep this, unless the clock is further ahead already; return what is kept."""
        ahead = Int64(offset // MICROSECOND)
        with unavailable_on_error():
            self._clock.update_one({"_id": "service"}, {"$max": {"ahead_us": ahead}}, upsert=True)
        return self.offset()


class MongoWitnesses:
    """The server's clock, and when the janitor last looked at its own."""

    def __init__(self, database: Documents) -> None:
        self._admin = database.client.admin
        self._jobs = database.allotment_jobs

    def ask(self) -> Witness:
        """Return what is known."""
        with unavailable_on_error():
            told = self._admin.command("hello").get("localTime")
            kept = (self._jobs.find_one({"_id": "clock"}) or {}).get("looked_at")
        return Witness(_in_utc(told), _in_utc(kept))

    def note(self, now: datetime) -> None:
        """Keep that this time was found to be right."""
        with unavailable_on_error():
            self._jobs.update_one({"_id": "clock"}, {"$set": {"looked_at": now}}, upsert=True)


def _in_utc(moment: object) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

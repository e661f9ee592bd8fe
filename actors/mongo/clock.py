"""How far a test clock is ahead, in the database: one document whose number only grows."""

from datetime import timedelta

from bson import Int64

from actors.mongo.connection import Documents, UnsuitableDatabaseError, unavailable_on_error

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

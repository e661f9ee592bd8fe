"""The directory in the database: one document, replaced by whoever knows its version.

Beside it is the plan of how many shards there shall be: of two who want another number, one wins.
"""

from contextlib import AbstractContextManager
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from actors.cluster.resharding import Plan
from actors.mongo.causality import Causality, moment_of
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.protocol.directory import Directory, SeenTable

TABLE, PLAN = "slots", "plan"


class MongoDirectory:
    """Reads and publishes the table of slots, and the plan for it."""

    def __init__(self, database: Documents) -> None:
        self._client = database.client
        self._documents = database.allotment_directory

    def read(self) -> Directory | None:
        """Return the newest table; None before the first one."""
        with unavailable_on_error():
            return self._find(None)

    def see(self, causality: Causality | None = None) -> SeenTable | None:
        """Return the newest table, and by when it was there; None before the first one.

        With `causality` it is not older than what that one's process knows.
        """
        with unavailable_on_error(), self._reading(causality) as session:
            table = self._find(session)
            return None if table is None else SeenTable(table, moment_of(session.operation_time))

    def _reading(self, causality: Causality | None) -> AbstractContextManager[ClientSession]:
        if causality is not None:
            return causality.reading()
        return self._client.start_session(causal_consistency=True)

    def _find(self, session: ClientSession | None) -> Directory | None:
        document = self._documents.find_one({"_id": TABLE}, session=session)
        if document is None:
            return None
        return Directory(
            int(document["version"]),
            tuple(document["owners"]),
            dict(document.get("leaving", [])),
            int(document.get("started", 0)),
        )

    def publish(self, table: Directory) -> bool:
        """Put a table in the place of its predecessor. False: somebody else was faster."""
        document: dict[str, Any] = {
            "version": table.version,
            "owners": list(table.owners),
            "leaving": [list(pair) for pair in table.leaving.items()],
            "started": table.started,
        }
        with unavailable_on_error():
            if table.version > 1:
                where = {"_id": TABLE, "version": table.version - 1}
                changed = self._documents.update_one(where, {"$set": document})
                return changed.matched_count == 1
            try:
                self._documents.insert_one({"_id": TABLE, **document})
            except DuplicateKeyError:
                return False
            return True

    def plan(self) -> Plan | None:
        """Return the newest plan, be it carried out or not."""
        with unavailable_on_error():
            document = self._documents.find_one({"_id": PLAN})
        if document is None:
            return None
        return Plan(**{name: document[name] for name in Plan._fields})

    def begin(self, plan: Plan) -> bool:
        """Keep a plan. False: another one is not carried out yet."""
        with unavailable_on_error():
            try:
                self._documents.update_one(
                    {"_id": PLAN, "ended_at": {"$ne": None}}, {"$set": plan._asdict()}, upsert=True
                )
            except DuplicateKeyError:
                return False
            return True

    def end(self, plan: Plan) -> None:
        """Note that a plan is carried out. One that was ended stays as it is."""
        where = {"_id": PLAN, "started_at": plan.started_at, "ended_at": None}
        with unavailable_on_error():
            self._documents.update_one(where, {"$set": {"ended_at": plan.ended_at}})

"""The directory in the database: one document, replaced by whoever knows its version."""

from typing import Any

from pymongo.errors import DuplicateKeyError

from actors.directory import Directory
from actors.mongo.connection import Documents, unavailable_on_error


class MongoDirectory:
    """Reads and publishes the table of slots."""

    def __init__(self, database: Documents) -> None:
        self._database = database

    def read(self) -> Directory | None:
        """Return the newest table; None before the first one."""
        with unavailable_on_error():
            document = self._database.directory.find_one({"_id": "slots"})
        if document is None:
            return None
        return Directory(int(document["version"]), tuple(document["owners"]))

    def publish(self, table: Directory) -> bool:
        """Put a table in the place of its predecessor. False: somebody else was faster."""
        document: dict[str, Any] = {"version": table.version, "owners": list(table.owners)}
        with unavailable_on_error():
            if table.version > 1:
                where = {"_id": "slots", "version": table.version - 1}
                changed = self._database.directory.update_one(where, {"$set": document})
                return changed.matched_count == 1
            try:
                self._database.directory.insert_one({"_id": "slots", **document})
            except DuplicateKeyError:
                return False
            return True

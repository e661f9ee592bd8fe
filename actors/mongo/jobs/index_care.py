"""Looks after the indexes while the service runs: other programs may drop them, or add their own.

An ODM that syncs indexes drops those that its schema does not name; a dropped collection loses all.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.indexes import make_index, missing_indexes, rules_of, wanted_indexes
from actors.mongo.uri import EMBEDDED_SET_NAME
from actors.protocol.reports import Findings
from actors.protocol.store import UnsuitableDatabaseError

NAMESPACE_MISSING = 26

logger = logging.getLogger(__name__)


class MongoIndexCare:
    """The indexes of one database."""

    def __init__(self, database: Documents) -> None:
        self._database = database

    def look_after(self, *, repair: bool) -> Findings:
        """Make indexes that are missing; name what cannot be made, and unique ones that may refuse.

        Blocks; may raise StorageUnavailableError.
        """
        found = Findings()
        with unavailable_on_error():
            hello = self._database.client.admin.command("hello")
            embedded = hello.get("setName") == EMBEDDED_SET_NAME
            for name, wanted in wanted_indexes(embedded=embedded).items():
                there = self._indexes_of(name)
                for index in missing_indexes(wanted, there):
                    self._mend(name, index, found, repair=repair)
                found.index_problems += _refusing(name, wanted, there)
        for problem in found.index_problems:
            logger.warning("%s", problem)
        return found

    def _indexes_of(self, name: str) -> list[Mapping[str, Any]]:
        try:
            return list(self._database[name].list_indexes())
        except OperationFailure as error:  # Some servers have none where the collection is gone.
            if error.code == NAMESPACE_MISSING:
                return []
            raise

    def _mend(self, name: str, index: IndexModel, found: Findings, *, repair: bool) -> None:
        index_name = index.document["name"]
        if not repair:
            found.index_problems.append(f"{name} has lost its index {index_name}.")
            return
        try:
            make_index(self._database, name, index)
        except UnsuitableDatabaseError as error:
            found.index_problems.append(str(error))
        else:
            found.indexes_made += 1
            logger.warning("%s had lost its index %s: it is made again", name, index_name)


def _refusing(
    name: str, wanted: Sequence[IndexModel], there: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield what is to be said of unique indexes that are not ours."""
    ours = {rules_of(index.document) for index in wanted}
    for index in there:
        if index.get("unique") and rules_of(index) not in ours:
            yield f"{name} has the index {index['name']}, which may refuse what Allotment writes"

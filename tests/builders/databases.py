"""What is in a database, and why it cannot be prepared."""

from typing import Any

import pytest

from actors.mongo.embedded_wire import Documents
from actors.mongo.preparation import prepare
from actors.protocol.store import UnsuitableDatabaseError


def everything(database: Documents) -> dict[str, list[Any]]:
    """Return all documents and indexes, by collection."""
    return {
        name: [
            sorted(database[name].find(), key=lambda d: str(d["_id"])),
            sorted(database[name].index_information()),
        ]
        for name in database.list_collection_names()
    }


def refusal(database: Documents) -> str:
    """Return why the database cannot be prepared."""
    with pytest.raises(UnsuitableDatabaseError) as caught:
        prepare(database)
    return str(caught.value)

"""The documents of the shards: their epochs, and the clean marks of those that come and go."""

from datetime import datetime
from typing import Any

import pymongo
from bson import Int64
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.protocol.store import StorageUnavailableError
from actors.shard.lease import Holder, Taken

ANSWER_SECONDS_MAX = 2.0  # How long a renewal may take; then the lease is as old as it is.
TAKES_MAX = 5  # How often a shard is taken that others take at the same time.


class MongoLeases:
    """The epochs in MongoDB. Thread-safe, as pymongo's client is."""

    def __init__(self, database: Documents) -> None:
        self._shards = database.allotment_shards
        # Else a primary that was voted out, and does not know it yet, could answer.
        self._newest = database.allotment_shards.with_options(
            read_concern=ReadConcern("linearizable")
        )

    def take(self, shard: str, holder: Holder) -> Taken:
        """Raise the shard's epoch."""
        with unavailable_on_error():
            self._shards.update_one({"_id": shard}, {"$setOnInsert": {"sessions": []}}, upsert=True)
            for _ in range(TAKES_MAX):
                mark = self._shards.find_one({"_id": shard}) or {}
                epoch, before = mark.get("epoch"), mark.get("holder")
                newest = int(epoch or 0)
                # Versions that kept no word of it began as if whoever held the lease had waited.
                waited = int(mark.get("waited", newest))
                ours = {
                    "epoch": Int64(newest + 1),
                    "holder": holder._asdict(),
                    "waited": Int64(waited),
                }
                taken = self._shards.update_one({"_id": shard, "epoch": epoch}, {"$set": ours})
                if taken.matched_count:
                    last = Holder(**before) if before else None
                    return Taken(newest + 1, last, waited == newest)
        raise StorageUnavailableError("others take the shard all the time")

    def note_waited(self, shard: str, epoch: int) -> None:
        """Note that nobody before this epoch can answer; nothing, where there is a newer one."""
        with unavailable_on_error():
            self._shards.update_one(
                {"_id": shard, "epoch": Int64(epoch)}, {"$set": {"waited": Int64(epoch)}}
            )

    def begin_mark(self, shard: str) -> None:
        """Give a shard that is to be started its clean mark, if it has none."""
        with unavailable_on_error():
            until = oldest_mark(self._shards)
            begun: dict[str, Any] = {"sessions": [], "clean_until": until}
            self._shards.update_one({"_id": shard}, {"$setOnInsert": begun}, upsert=True)
            self._shards.update_one(
                {"_id": shard, "clean_until": None}, {"$set": {"clean_until": until}}
            )

    def end_mark(self, shard: str) -> None:
        """Take the clean mark from a shard that is gone: those that are there answer for it.

        Its epoch stays, for whoever is started under this name.
        """
        with unavailable_on_error():
            mark = self._shards.find_one({"_id": shard}) or {}
            until = mark.get("clean_until")
            if until is not None:
                others = {"_id": {"$ne": shard}, "clean_until": {"$ne": None}}
                self._shards.update_many(others, {"$min": {"clean_until": until}})
                self._shards.update_one({"_id": shard}, {"$set": {"clean_until": None}})

    def epoch(self, shard: str) -> int:
        """Return the shard's epoch as of now: no older one, though a server was cut off."""
        with unavailable_on_error(), pymongo.timeout(ANSWER_SECONDS_MAX):
            mark = self._newest.find_one({"_id": shard}, {"epoch": 1}) or {}
            return int(mark.get("epoch", 0))

    def release(self, shard: str, epoch: int) -> None:
        """Note that nobody holds this epoch any more; nothing, where there is a newer one."""
        with unavailable_on_error(), pymongo.timeout(ANSWER_SECONDS_MAX):
            self._shards.update_one(
                {"_id": shard, "epoch": Int64(epoch)}, {"$set": {"holder": None}}
            )


def oldest_mark(shards: Collection[dict[str, Any]]) -> datetime | None:
    """Return an instant before which no entry of any shard is missing in the views."""
    marks = [mark.get("clean_until") for mark in shards.find()]
    return min(filter(None, marks), default=None)

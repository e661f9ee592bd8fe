"""The application's users: only `subscription`, `features` and `allotment` of them are ours.

`allotment` keeps the number of the entry that was written last, so that an event delivered late
or twice changes nothing back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import Int64
from pymongo.errors import OperationFailure

from actors.events.handlers import ProfileRefusedError
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.failures import passes
from actors.mongo.ids import stored_id
from domain.values import UserId

DATES = ("start_date", "end_date")
AMOUNTS = ("total_credits", "system_portion", "spendable_credits")


class MongoProfiles:
    """`Profiles` in the collection of the application that holds its users."""

    def __init__(self, database: Documents, collection: str) -> None:
        self._users = database[collection]

    def set_subscription(self, user_id: UserId, subscription: Mapping[str, Any], seq: int) -> None:
        """Show a subscription in a user's profile, unless a later one is shown there."""
        shown: dict[str, Any] = dict(subscription)
        shown["subscription_id"] = stored_id(shown["subscription_id"])
        shown |= {name: datetime.fromisoformat(shown[name]) for name in DATES if name in shown}
        shown |= {name: Int64(shown[name]) for name in AMOUNTS if name in shown}
        self._write(user_id, "subscription_seq", seq, {"subscription": {"$literal": shown}})

    def switch_features(self, user_id: UserId, names: Sequence[str], seq: int, *, on: bool) -> None:
        """Switch a user's features, unless that was done for a later event."""
        self._write(user_id, "features_seq", seq, {f"features.{name}": on for name in names})

    def email_of(self, user_id: UserId) -> str | None:
        """Return a user's mail address; None where the profile names none."""
        with unavailable_on_error():
            profile = self._users.find_one({"_id": stored_id(user_id)}, ["email"]) or {}
        email = profile.get("email")
        return email if isinstance(email, str) and "@" in email else None

    def _write(self, user_id: UserId, mark: str, seq: int, fields: Mapping[str, Any]) -> None:
        """Set fields, if the mark is not past the number already and there is such a user.

        Raises ProfileRefusedError.
        """
        known = {"$ifNull": [f"$allotment.{mark}", Int64(0)]}
        is_new = {"$lte": [known, Int64(seq)]}
        changes = {name: {"$cond": [is_new, value, f"${name}"]} for name, value in fields.items()}
        changes[f"allotment.{mark}"] = {"$max": [known, Int64(seq)]}
        with unavailable_on_error():
            try:
                self._users.update_one({"_id": stored_id(user_id)}, [{"$set": changes}])
            except OperationFailure as error:
                if passes(error):
                    raise
                raise ProfileRefusedError(type(error).__name__) from error

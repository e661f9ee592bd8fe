"""What is done with events inside: the log, the user's profile, the user's features."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from actors.events.delivery import ATTEMPT_SECONDS_MAX, DeliveryError, RefusedDeliveryError
from actors.events.records import OrderedEvent
from actors.protocol.store import StorageUnavailableError
from domain.events import EventType
from domain.values import UserId

logger = logging.getLogger("allotment.events")

LOGGED = frozenset(EventType) - {EventType.CHANGED}


class LogHandler:
    """Writes a line an event."""

    name = "log"
    newest_only = False
    seconds_max = ATTEMPT_SECONDS_MAX

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether it is one of those that are logged."""
        return event.record.type in LOGGED

    async def handle(self, event: OrderedEvent) -> None:
        """Write the line."""
        record = event.record
        logger.warning(
            "%s %s user=%s subscription=%s %s",
            record.type,
            record.id,
            record.user_id,
            record.subscription_id,
            record.data,
        )


class ProfileRefusedError(Exception):
    """The database will not take a profile, however often it is sent: a rule of the application's."""


class Profiles(Protocol):
    """The application's documents of its users. Calls block; StorageUnavailableError."""

    def set_subscription(self, user_id: UserId, subscription: Mapping[str, Any], seq: int) -> None:
        """Show a subscription in a user's profile, if there is one and it shows no later one.

        Raises ProfileRefusedError.
        """

    def switch_features(self, user_id: UserId, names: Sequence[str], seq: int, *, on: bool) -> None:
        """Switch a user's features, unless that was done for a later event. ProfileRefusedError."""

    def email_of(self, user_id: UserId) -> str | None:
        """Return a user's mail address; None where the profile names none."""


SHOWN_FIELDS = (
    "status",
    "timezone",
    "start_date",
    "end_date",
    "total_credits",
    "system_portion",
    "spendable_credits",
)


class ProfileHandler:
    """Keeps `users.<id>.subscription` as the subscription that a status of the user shows."""

    name = "profile"
    newest_only = True
    seconds_max = ATTEMPT_SECONDS_MAX

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether what is shown has changed."""
        return event.record.type is EventType.CHANGED and bool(event.record.data.get("current"))

    async def handle(self, event: OrderedEvent) -> None:
        """Write the profile."""
        record = event.record
        shown = {name: record.data[name] for name in SHOWN_FIELDS if name in record.data}
        shown["subscription_id"] = record.subscription_id
        await _in_database(
            self._profiles.set_subscription, UserId(record.user_id), shown, event.seq
        )


class FeaturesHandler:
    """Switches `users.<id>.features`: off after an expiry, on after a renewal or a first start."""

    name = "features"
    newest_only = True
    seconds_max = ATTEMPT_SECONDS_MAX

    def __init__(self, profiles: Profiles, names: Sequence[str]) -> None:
        self._profiles = profiles
        self._names = names

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether the subscription that a status shows has come, come back, or gone."""
        record = event.record
        if not record.data.get("current"):
            return False
        is_first = record.type is EventType.CHANGED and bool(record.data.get("created"))
        return is_first or record.type in (EventType.EXPIRED, EventType.RENEWED)

    async def handle(self, event: OrderedEvent) -> None:
        """Switch."""
        on = event.record.type is not EventType.EXPIRED
        user_id = UserId(event.record.user_id)
        await _in_database(self._profiles.switch_features, user_id, self._names, event.seq, on=on)


async def _in_database(call: Any, *arguments: object, **named: object) -> Any:
    try:
        return await asyncio.to_thread(call, *arguments, **named)
    except StorageUnavailableError as error:
        raise DeliveryError("the database does not answer") from error
    except ProfileRefusedError as error:
        raise RefusedDeliveryError(f"the database refuses the profile: {error}") from error

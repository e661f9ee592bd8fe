"""What is set at run time, in MongoDB: one document of `allotment_settings`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.runtime.service_settings import ServiceSettings, SettingsChange, origins_of, percents_of


class MongoServiceSettings:
    """A `ServiceSettingsStore`."""

    def __init__(self, database: Documents) -> None:
        self._settings = database.allotment_settings

    def read(self) -> ServiceSettings:
        """Return what is kept."""
        with unavailable_on_error():
            return _read(self._settings.find_one({"_id": "service"}) or {})

    def keep(self, change: SettingsChange) -> ServiceSettings:
        """Keep what a change names, and return all that is kept then. Other fields stay."""
        named = {name: list(value) for name, value in asdict(change).items() if value is not None}
        with unavailable_on_error():
            self._settings.update_one({"_id": "service"}, {"$set": named}, upsert=True)
        return self.read()


def _read(document: Mapping[str, Any]) -> ServiceSettings:
    return ServiceSettings(
        origins_of(_listed(document.get("cors_origins"))),
        percents_of(_listed(document.get("low_credits_percents"))),
    )


def _listed(said: object) -> list[object]:
    return said if isinstance(said, list) else []

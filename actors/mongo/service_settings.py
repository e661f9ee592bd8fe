"""What is set at run time, in MongoDB: one document of `allotment_settings`."""

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.runtime.service_settings import ServiceSettings, origins_of


class MongoServiceSettings:
    """A `ServiceSettingsStore`."""

    def __init__(self, database: Documents) -> None:
        self._settings = database.allotment_settings

    def read(self) -> ServiceSettings:
        """Return what is kept."""
        with unavailable_on_error():
            document = self._settings.find_one({"_id": "service"}) or {}
        said = document.get("cors_origins")
        return ServiceSettings(origins_of(said if isinstance(said, list) else ()))

    def keep(self, settings: ServiceSettings) -> None:
        """Keep these in place of those before. Fields that this version does not know stay."""
        fields = {"cors_origins": list(settings.cors_origins)}
        with unavailable_on_error():
            self._settings.update_one({"_id": "service"}, {"$set": fields}, upsert=True)

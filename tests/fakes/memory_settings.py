"""Settings of the run time, in memory."""

from actors.protocol.store import StorageUnavailableError
from actors.runtime.service_settings import ServiceSettings


class MemorySettings:
    """A `ServiceSettingsStore` that can be away."""

    def __init__(self) -> None:
        self.kept = ServiceSettings()
        self.away = False

    def read(self) -> ServiceSettings:
        if self.away:
            raise StorageUnavailableError("away")
        return self.kept

    def keep(self, settings: ServiceSettings) -> None:
        if self.away:
            raise StorageUnavailableError("away")
        self.kept = settings

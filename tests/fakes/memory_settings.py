"""Settings of the run time, in memory."""

from dataclasses import asdict, replace

from actors.protocol.store import StorageUnavailableError
from actors.runtime.service_settings import ServiceSettings, SettingsChange


class MemorySettings:
    """A `ServiceSettingsStore` that can be away."""

    def __init__(self) -> None:
        self.kept = ServiceSettings()
        self.away = False

    def read(self) -> ServiceSettings:
        if self.away:
            raise StorageUnavailableError("away")
        return self.kept

    def keep(self, change: SettingsChange) -> ServiceSettings:
        if self.away:
            raise StorageUnavailableError("away")
        named = {name: value for name, value in asdict(change).items() if value is not None}
        self.kept = replace(self.kept, **named)
        return self.kept

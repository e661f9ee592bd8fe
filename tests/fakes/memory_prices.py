"""The text of a price list, in memory."""

from actors.protocol.store import StorageUnavailableError


class MemoryPrices:
    """A `PriceStore` that may be away."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.is_away = False

    def keep(self, text: str) -> None:
        if self.is_away:
            raise StorageUnavailableError
        self.text = text

    def read(self) -> str:
        if self.is_away:
            raise StorageUnavailableError
        return self.text

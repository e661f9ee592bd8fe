"""The text of the price list in force: one document."""

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.stored_format import check_not_newer


class MongoPrices:
    """A `PriceStore`."""

    def __init__(self, database: Documents) -> None:
        self._database = database
        self._prices = database.allotment_prices

    def keep(self, text: str) -> None:
        """Keep a text in the place of the one before; an empty one: there is no list.

        UnsuitableDatabaseError: a newer version has the database.
        """
        check_not_newer(self._database)
        with unavailable_on_error():
            self._prices.replace_one({"_id": "in_force"}, {"text": text}, upsert=True)

    def read(self) -> str:
        """Return the text that is kept; empty: there is no list."""
        with unavailable_on_error():
            document = self._prices.find_one({"_id": "in_force"}) or {}
        return str(document.get("text", ""))

"""Where queries by time begin: a bound keeps out what is no date."""

from datetime import UTC, datetime

UNIX_START = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DATE = datetime(1, 1, 2, tzinfo=UTC)
"""The first that is a date in every time zone."""

"""The whole service, started and used as its users do: its tests, and longer runs as scripts."""

import os

# Before ray is imported: else it sends no token to a cluster that is joined by its address.
os.environ.setdefault("RAY_AUTH_MODE", "token")

"""Measures the service beside what it is compared with, side by side in one run: `make bench`."""

import os

# Before ray is imported: else it sends no token to a cluster that is joined by its address.
os.environ.setdefault("RAY_AUTH_MODE", "token")

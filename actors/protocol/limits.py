"""Limits of requests that several parts have to agree on."""

HEADER_BYTES_MAX = 16 * 1024  # Names and values of a request's headers.
REPLICA_REQUESTS_MAX = 1_000  # Requests one replica works on at once,
REPLICA_WRITES_MAX = 512  # and how many of them write. HAProxy refuses what is beyond.

"""Directories of a few shards."""

from actors.protocol.directory import even

TABLE = even(1, 2)

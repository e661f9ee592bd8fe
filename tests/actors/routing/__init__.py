"""Calls find their shard, in time."""

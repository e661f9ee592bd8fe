"""Shards that come, go and hang."""

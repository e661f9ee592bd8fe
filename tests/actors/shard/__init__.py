"""The single writer: what it decides, remembers, writes and survives."""

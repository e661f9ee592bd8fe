"""The MongoDB adapter: the only importer of pymongo and bson.

`accounts` implements the shards' store, `documents` is how values become documents that other
programs read, `jobs` is the janitor's work. Here are what all of them share: `connection`,
`transactions`, `ids`, `indexes`, `stored_format`; the change stream (`changes`); and small stores
of single documents. Begin at `accounts/store.py`.
"""

"""What other programs change in MongoDB, told to the shards.

`sync.py` reads the change stream and asks that every shard acknowledge what it was told;
`notifier.py` gathers and repeats the changes for one shard. Begin at `sync.py`, `Sync.run`.
"""

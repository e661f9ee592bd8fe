"""How a call finds its shard.

`router` looks up the owner, repeats and follows; `lane` sends what waits for one shard in one
message; `wire` carries it over a socket. `operations` is what operators ask of all shards at once.
Begin at `router.py`.
"""

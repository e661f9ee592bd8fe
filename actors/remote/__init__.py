"""All that is Ray about actors: one shell per actor, and the way to it from any process.

A shell builds its actor's plain logic on adapters, runs its loops, and answers for it: begin at
`process.py`, which is the base of all, then `shard.py`. `names` and `options` are how actors are put
on Ray, `handle` is the way to one of them, `shards` to all shards. `nodes` and `rollout` start them
on other nodes or with new code. `environment`, `local_cluster` and `loopback` are what Ray itself is
started with.
"""

"""What the parts say to each other: plain values, cheap to pickle. Imports nothing but the domain.

`calls` and `queries` go to shards and `changes` tell them what others wrote; `directory` says which
shard owns whom; `reports` go to operators; `errors` and `store` say how each may fail. `store` is
the port to the database that the rest is written against. Begin at `calls.py`.
"""

"""How many shards there are, where they belong, and whether they live. No Ray: that is `remote`.

`resharding` changes the number of shards while they serve, `placement` spreads them over nodes, and
`supervisor` finds actors that hang and has them started again. Begin at `resharding.py`.
"""

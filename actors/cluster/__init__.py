"""Which shard is on which node, and how shards and nodes are started anew."""

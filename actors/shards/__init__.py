"""One shard: the single writer of its users' accounts, and all that it is made of."""

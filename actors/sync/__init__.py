"""What other programs change in MongoDB, told to the shards."""

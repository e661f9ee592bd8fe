"""What others write is heard by every shard."""

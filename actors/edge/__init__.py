"""The HTTP edge: parse → call → answer. It needs no Ray: tests run it on any way to the shards."""

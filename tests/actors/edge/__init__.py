"""The HTTP edge without Ray: the same routes, bodies and codes."""

"""The pages, one module for what belongs together, one function an address. Begin at `overview.py`.

A page asks the service with the key of its session, says what it found in a template, and changes
something only for a form that carries the session's token.
"""

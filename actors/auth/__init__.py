"""Who calls, and what they may do.

A request shows an API key or a user's own token. Both become a `Caller` with a scope; begin at
`caller.py`. Keys are stored as hashes only; tokens are checked without asking anybody.
"""

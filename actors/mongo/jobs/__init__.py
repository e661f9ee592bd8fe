"""The janitor's work on documents.

`store` puts it together: what has ended (`ended`, `ended_packs`, `overdue`), the rules that must
hold (`invariants`, `pack_invariants`), indexes that were dropped (`index_care`). `anonymizations`,
`fences` and `rename` take a user's id out of every collection in `named_collections`.
`agenda` keeps when each job runs, and its reports. Begin at `store.py`.
"""

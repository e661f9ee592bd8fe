"""The shards' store on MongoDB: the journal, the views, and how accounts are read back.

`store` appends entries and writes views; `loader` reads what a decision needs, `warm_reader` reads
all accounts at once. `marks`, `tails` and `leases` say how far views and journals go, and who may
write. `reads` and `overview` answer lists. Begin at `store.py`.
"""

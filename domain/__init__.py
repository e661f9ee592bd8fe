"""The rules of Allotment: pure functions over frozen values. No clock, no I/O, no async.

Begin at `messages.py` (what can be asked, what can happen, why not), then `decide.py` and
`evolve.py`: `decide` says what would happen to an `account`, `evolve` makes it so, and replaying the
journal through it is recovery. `documents` reads and writes what is stored, `api` is what clients
send and are told.
"""

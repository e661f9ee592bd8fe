"""Allotment's actors, and all that surrounds them.

From the ground up: `protocol` is what the parts say to each other; `runtime` and `auth` serve all.
`shard` is the one writer of its users' accounts; `sync`, `stripe`, `events` and `janitor` are the
singleton actors' logic, `cluster` and `routing` what connects them, and `edge` speaks HTTP. All that
is plain Python. `mongo` is the adapter to the database and `remote` puts Ray on the actors.
`serving`, `client`, `embedded` and `cli` are what users touch; `launch` brings the service up.

Begin at `shard/shard.py`: everything else is there so that it can be so simple.
"""

"""One shard: the single writer of its users' accounts, and all that it is made of.

Begin at `shard.py`, `Shard.commit`: a batch waits in `inbox`, without those whom `loads` reads
first, is decided in `draft`, appended to the journal, and answered; `view_writer` brings the documents behind it. `accounts` is all that RAM holds
of users; `awake` packs those not used for a while. `lease` and `ownership` say whether the shard may answer, and for whom; `hand_over` gives
users away. `follower`, `warm_start`, `reloader` and `comparison` keep RAM as MongoDB is, and
`hold_timer` ends holds. `lists` reads beside the shard what is long.
"""

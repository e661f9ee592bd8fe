"""What every process of ours needs: a clock to trust, loops that are watched, counters.

`loops` ends a process whose loop failed. `clock`, `steady_time` and `clock_doubt` are the time, and
when it is not believed. `steps_in_hand` finds what stands still, `format_watch` keeps a process from
writing for a database of another version, `price_list` keeps the prices up to their file, and
`counters` are what metrics and reports tell. Begin at `loops.py`.
"""

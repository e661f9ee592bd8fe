"""The janitor: jobs that run when they are due, once, however many janitors there are.

`scheduler` runs jobs by `cron` lines and the shared `agenda`; `jobs` lists them: `sweep` compares RAM
with MongoDB, the expiries write down what has ended, old entries are trimmed. `anonymization` makes
users anonymous, step by step. Begin at `jobs.py`.
"""

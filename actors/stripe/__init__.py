"""Stripe: events in, what they mean, and the commands they become.

`worker` finds the events that wait and `applier` does one subject's as one piece of work: `payloads`
reads them, `digest` and `precedence` say which state counts, `commands` is what a shard is told.
`lookups` asks Stripe what events leave out, through `api`, the only importer of stripe.
`reconciliation` finds what was never delivered. Begin at `applier.py`.
"""

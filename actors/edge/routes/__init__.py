"""The operations of the HTTP interface, a file per resource.

`hot` is what an application calls on every request. `subscription` (usage, credits), `holds` and
`corrections` are for applications, too; `subscriptions`, `users`, `events`, `admin` and `probes` are
for operators; `keys` makes API keys, `audit` says who did what; `stripe_webhook` takes Stripe's
events; `docs` is the page that describes all, `embedded` what an application's users see. Begin at `hot.py`.
"""

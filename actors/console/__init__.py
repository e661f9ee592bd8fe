"""The operators' console: a program of its own that calls the HTTP interface as any client does.

Begin at `app.py`: `guard` says who may see a page, `service` how the interface is called. A page is a
function in `pages` and one of the `templates`. `sessions` knows who is signed in, `changes` what a
form means, `rates` makes rates of sums, `figures` is one look at all that is reported (the command
`allotment` watches it, too), `words` says values as people read them.

Nothing of it is on the way of a charge. It imports HTTP's shapes and no other part of the service.
"""

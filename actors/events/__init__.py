"""Events on their way to those who want to know, and the handlers that take them.

`relay` gives events their order, `feed` hands them on; `consumer` delivers to one handler, each user's
in order, until it is done. Handlers are `handlers` (log, profile, features), `mail` and `webhooks`.
`stream` is how programs follow events. Begin at `relay.py`.
"""

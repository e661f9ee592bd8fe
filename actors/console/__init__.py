"""The operators' console: a program of its own that calls the HTTP interface as any client does.

Begin with `build_app` in `app`: the pages by address, in `guard`: who may see them, and in `service`:
how the interface is called. A page is a function in `pages` and a template of the same name.
`sessions` knows who is signed in, `rates` makes rates of sums, `words` says values as people read them.

Nothing of it is on the way of a charge. It imports HTTP's shapes and no other part of the service.
"""

"""The command `allotment`: runs the service, and what operators do beside it.

`main` is the command with its parts: `keys`, `operator`, `corrections`, `users`, `cluster`, `stripe`,
`clock`, `console`. `terminal` is what all of them print with, and how they ask the running service.
Begin at `main.py`.
"""

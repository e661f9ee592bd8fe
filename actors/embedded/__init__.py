"""The bundled MongoDB-compatible server: a program of its own, never imported.

`keeper` owns its directory and keeps a server alive in it, `server` is one running process of one
of the server programs, and `watchdog` notices when it makes no progress. Begin at `keeper.py`.
"""

"""What clients send and what they are told, the same over HTTP and from Python.

Requests are checked field by field and become commands; answers are rendered from accounts and
entries. Begin at `requests.py` and `answers.py`.
"""

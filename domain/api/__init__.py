"""What clients send and what they are told, the same over HTTP and from Python.

Requests are checked field by field and become commands; answers are rendered from accounts and
entries. Each field has its example beside it; the OpenAPI document puts them together.
Begin at `requests.py` and `answers.py`; `render` makes the answers to commands, `list_answers` those
to lists.
"""

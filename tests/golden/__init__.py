"""Answers and documents as they were, to which later versions are held.

`answers.json` has requests in order, each with its answer; `entries.json` and `documents.json` have
what a life leaves in MongoDB. A later version may add fields, and changes none that are here.
`python -m tests.golden` writes all three anew: only where an answer is meant to change.
"""

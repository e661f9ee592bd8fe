"""Values as the documents that other programs read, and the updates that change them.

A file per collection: `subscriptions` (with its days), `holds`, `usages`, `packs`, `events`, `stripe`.
Pure: nothing here talks to a server. `amounts` and `owner` read what others may have written.
Begin at `subscriptions.py`.
"""

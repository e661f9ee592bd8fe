"""What is stored, as plain documents, and back: whoever wrote them.

`journal` is the entries; `views` and `pack_views` are what entries change in the collections that
others read; `subscriptions`, `days`, `eras`, `holds` and `packs` read those back, and `recovery`
makes an account of them. Begin at `recovery.py`.
"""

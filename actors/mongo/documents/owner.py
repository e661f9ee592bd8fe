"""Whose a document is, whoever wrote it."""

from actors.mongo.ids import read_user_id
from domain.documents.subscriptions import Document
from domain.values import UserId


def user_of(document: Document) -> UserId | None:
    """Return whose a document is; None where its `user_id` cannot be read."""
    try:
        return read_user_id(document.get("user_id"))
    except ValueError:
        return None

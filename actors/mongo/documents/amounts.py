"""Amounts in documents that any program may have written, as the server reads them.

What is an amount here is one in `domain.documents.subscriptions.amount`: a whole number that is not negative.
"""

from typing import Any

from bson import Int64

from domain.values import CREDITS_MAX

NUMBERS = ["int", "long", "double", "decimal"]  # Types of BSON.
ZERO = Int64(0)


def is_amount(field: str) -> dict[str, Any]:
    """Return an expression that says whether a field (`$name`) is an amount."""
    is_whole = [
        {"$gte": [field, ZERO]},
        {"$lte": [field, Int64(CREDITS_MAX)]},
        {"$eq": [field, {"$trunc": field}]},
    ]
    # One after the other: what is no number cannot be cut to a whole one.
    return {"$cond": [{"$in": [{"$type": field}, NUMBERS]}, {"$and": is_whole}, False]}


def amount_or(field: str, otherwise: Any) -> dict[str, Any]:
    """Return an expression for a field's amount, and for another value where it is none."""
    return {"$cond": [is_amount(field), field, otherwise]}

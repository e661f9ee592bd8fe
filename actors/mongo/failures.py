"""What an error of MongoDB means: whether it passes, and what it says of what was written."""

from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError

TRANSIENT = "TransientTransactionError"  # Of a transaction that wrote nothing.
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
NO_WRITES = "NoWritesPerformed"  # Of a write that was refused before it did anything.
PASSING_LABELS = (TRANSIENT, UNKNOWN_COMMIT, "RetryableWriteError", "ResumableChangeStreamError")

UNAUTHORIZED = 13
WRITE_CONFLICT = 112
NO_SUCH_TRANSACTION = 251
DUPLICATE_KEY = 11000

# Answers of a server that stops, starts, elects or is overloaded, or that ends what takes long or
# meets another write: the same thing may be done later.
PASSING_CODES = frozenset(
    {6, 7, 13, 18, 24, 43, 50, 63, 64, 89, 91, 112, 133, 134, 150, 175, 189, 202, 234, 237}
    | {246, NO_SUCH_TRANSACTION, 262, 290, 388, 391, 394, 462, 9001}
    | {10107, 11600, 11602, 13388, 13435, 13436}
)


def passes(error: PyMongoError) -> bool:
    """Say whether an error has its cause in the server's state, and not in what was asked."""
    return (
        isinstance(error, ConnectionFailure)
        or getattr(error, "code", None) in PASSING_CODES
        or any(error.has_error_label(label) for label in PASSING_LABELS)
    )


def is_duplicate(error: Exception) -> bool:
    """Say whether a unique key was taken."""
    if isinstance(error, BulkWriteError):
        errors = (error.details or {}).get("writeErrors", [])
        return any(item.get("code") == DUPLICATE_KEY for item in errors)
    return getattr(error, "code", None) == DUPLICATE_KEY

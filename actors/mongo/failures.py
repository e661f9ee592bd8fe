"""What an error of MongoDB means: whether it passes, and what it says of what was written."""

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

TRANSIENT = "TransientTransactionError"  # Of a transaction that wrote nothing.
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
NO_WRITES = "NoWritesPerformed"  # Of a write that was refused before it did anything.
PASSING_LABELS = (TRANSIENT, UNKNOWN_COMMIT, "RetryableWriteError", "ResumableChangeStreamError")

UNAUTHORIZED = 13
WRITE_CONFLICT = 112
NO_SUCH_TRANSACTION = 251
DUPLICATE_KEY = 11000

OUT_OF_DISK = 14031
INTERNAL_CODES = frozenset({1, 8})  # Their texts are the server's own, and repeat no document.
FULL = "No space left on device"
PANIC = "WT_PANIC"  # The storage has given up, and does nothing any more: as on a full disk.

# Answers of a server that stops, starts, elects or is overloaded, or that ends what takes long or
# meets another write: the same thing may be done later.
PASSING_CODES = frozenset(
    {6, 7, 13, 18, 24, 43, 50, 63, 64, 89, 91, 112, 133, 134, 150, 175, 189, 202, 234, 237}
    | {246, NO_SUCH_TRANSACTION, 262, 290, 388, 391, 394, 462, 9001}
    | {OUT_OF_DISK, 10107, 11600, 11602, 13388, 13435, 13436}
)


def passes(error: PyMongoError) -> bool:
    """Say whether an error has its cause in the server's state, and not in what was asked."""
    return (
        isinstance(error, ConnectionFailure)
        or getattr(error, "code", None) in PASSING_CODES
        or any(error.has_error_label(label) for label in PASSING_LABELS)
        or _storage_failure(error) is not None
    )


def cause(error: Exception) -> str:
    """Return in a few words what an error means to operators."""
    return _storage_failure(error) or type(error).__name__


def _storage_failure(error: Exception) -> str | None:
    """Return what has become of the server's storage; None: nothing has."""
    for code, text in _told(error):
        if code == OUT_OF_DISK or (code in INTERNAL_CODES and FULL in text):
            return "the database's disk is full"
        if code in INTERNAL_CODES and PANIC in text:
            return "the database's storage has given up, as it does on a full disk"
    return None


def _told(error: Exception) -> list[tuple[int | None, str]]:
    """Return the codes and texts that a server has answered."""
    if isinstance(error, BulkWriteError):
        items = (error.details or {}).get("writeErrors", [])
        return [(item.get("code"), str(item.get("errmsg"))) for item in items]
    return [(getattr(error, "code", None), str(error))]


def is_duplicate(error: Exception) -> bool:
    """Say whether a unique key was taken."""
    if isinstance(error, BulkWriteError):
        errors = (error.details or {}).get("writeErrors", [])
        return any(item.get("code") == DUPLICATE_KEY for item in errors)
    return getattr(error, "code", None) == DUPLICATE_KEY


def wrote_nothing(error: PyMongoError) -> bool:
    """Say whether it is known of an insert that failed that nothing was written, now or later."""
    if isinstance(error, BulkWriteError):  # The server has told what became of each document.
        told = error.details or {}
        return not told.get("nInserted") and not told.get("writeConcernErrors")
    return isinstance(error, ServerSelectionTimeoutError) or error.has_error_label(NO_WRITES)

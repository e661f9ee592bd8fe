"""What a MongoDB answers that refuses a command, with its codes and labels."""

from typing import Any

TRANSIENT = "TransientTransactionError"
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
RETRYABLE = "RetryableWriteError"
NO_WRITES = "NoWritesPerformed"
RESUMABLE = "ResumableChangeStreamError"
NOT_RESUMABLE = "NonResumableChangeStreamError"

NAMES = {
    8000: "AtlasError",
    13: "Unauthorized",
    24: "LockTimeout",
    43: "CursorNotFound",
    50: "MaxTimeMSExpired",
    64: "WriteConcernTimeout",
    91: "ShutdownInProgress",
    112: "WriteConflict",
    175: "QueryPlanKilled",
    189: "PrimarySteppedDown",
    237: "CursorKilled",
    246: "SnapshotUnavailable",
    251: "NoSuchTransaction",
    280: "ChangeStreamFatalError",
    286: "ChangeStreamHistoryLost",
    290: "TransactionExceededLifetimeLimitSeconds",
    388: "TransactionTooLarge",
    391: "ReauthenticationRequired",
    394: "TransactionTooLargeForCache",
    462: "IngressRequestRateLimitExceeded",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
}


def refusal(code: int, *labels: str) -> dict[str, Any]:
    """Return the answer to a command that failed."""
    answer = {"ok": 0.0, "errmsg": NAMES[code], "code": code, "codeName": NAMES[code]}
    return answer | ({"errorLabels": list(labels)} if labels else {})


def storage_failure(code: int, text: str) -> dict[str, Any]:
    """Return the answer of a server whose storage fails."""
    return {"ok": 0.0, "errmsg": text, "code": code, "codeName": "InternalError"}


def unconfirmed(code: int, *labels: str, **done: Any) -> dict[str, Any]:
    """Return the answer to a write that was done, and that no majority has confirmed."""
    error: dict[str, Any] = {"code": code, "codeName": NAMES[code], "errmsg": NAMES[code]}
    if code == 64:
        error["errInfo"] = {"wtimeout": True}
    answer = {"ok": 1.0, **done, "writeConcernError": error}
    return answer | ({"errorLabels": list(labels)} if labels else {})

"""What a client may say of a charge in its own words: a JSON object, bounded in length and depth."""

import json
import math
from typing import Annotated, Any

from pydantic import AfterValidator

DETAILS_BYTES_MAX = 16 * 1024
DETAILS_DEPTH_MAX = 32
DETAILS_TOO_LONG = f"details have at most {DETAILS_BYTES_MAX} bytes as JSON"
INT64_MAX = 2**63 - 1


def storable_details(details: dict[str, Any]) -> dict[str, Any]:
    """Return details that MongoDB can keep and JSON can say. Raises ValueError."""
    _check_json(details)
    if len(json.dumps(details, ensure_ascii=False).encode()) > DETAILS_BYTES_MAX:
        raise ValueError(DETAILS_TOO_LONG)
    return details


def _check_json(details: dict[str, Any]) -> None:
    """Refuse what MongoDB cannot keep or JSON cannot say. Raises ValueError.

    It looks at no more values than details may hold: each takes a byte at least.
    """
    waiting: list[tuple[Any, int]] = [(details, 1)]
    values = 0
    while waiting:
        value, depth = waiting.pop()
        if not isinstance(value, dict | list):
            _check_scalar(value)
            continue
        if depth > DETAILS_DEPTH_MAX:
            raise ValueError(f"details are nested at most {DETAILS_DEPTH_MAX} deep")
        values += len(value)
        if values > DETAILS_BYTES_MAX:
            raise ValueError(DETAILS_TOO_LONG)
        if isinstance(value, dict):
            for key in value:
                _check_scalar(key)
            value = value.values()
        waiting.extend((child, depth + 1) for child in value)


def _check_scalar(value: object) -> None:
    match value:
        case str() if "\0" in value or not _is_text(value):
            raise ValueError("details hold no NUL characters and no lone surrogates")
        case int() if not -INT64_MAX <= value <= INT64_MAX:
            raise ValueError("whole numbers in details have at most 64 bits")
        case float() if not math.isfinite(value):
            raise ValueError("numbers in details are finite")
        case str() | int() | float() | None:
            pass
        case _:
            raise ValueError("details are a JSON object")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


Details = Annotated[dict[str, Any], AfterValidator(storable_details)]

"""What a charge is about: said by its caller, kept by its hold, its entry and its documents.

A fact that is added here is in every command, change and answer that has them all; bodies of
requests name it once more (`domain.api.requests`), since they say how it is checked.
"""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFacts:
    """What a usage record says of the work beside its service, its cost and its time."""

    token_count: int | None = None
    model_used: str | None = None
    session_id: str | None = None
    details: str | None = None
    """A JSON object as text: the domain keeps it and never reads it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """How many tokens the work took, by kind. No token is of two kinds."""

    input: int = 0
    """Read by the model for the first time: less what was cached."""
    output: int = 0
    """Written by the model, less its reasoning."""
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.input + self.output + self.cache_read + self.cache_write + self.reasoning


KINDS = tuple(field.name for field in fields(Tokens))
"""Kinds of tokens."""


def counts_of(tokens: Tokens) -> dict[str, int]:
    """Return how many tokens there are of every kind."""
    return {kind: getattr(tokens, kind) for kind in KINDS}


FACTS = tuple(field.name for field in fields(UsageFacts))
LABELS = tuple(name for name in FACTS if name not in {"token_count", "details"})
"""Facts that are short texts."""


def facts_of(told: UsageFacts) -> dict[str, Any]:
    """Return the facts, in their order: a command's for its change, a change's for a document."""
    return {  # Spelled out: every charge comes through here.
        "token_count": told.token_count,
        "model_used": told.model_used,
        "session_id": told.session_id,
        "details": told.details,
    }


def said_in(told: UsageFacts) -> dict[str, Any]:
    """Return the facts that are not None."""
    return {name: value for name, value in facts_of(told).items() if value is not None}

"""What a model call has used: read from its answer, or estimated where it was left halfway."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

CHARACTERS_A_TOKEN = 4  # Of estimates.


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call, each counted under one kind alone."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    model: str | None = None
    is_estimated: bool = False
    """The call was left before the model told: made from the length of the texts."""

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.output + self.cache_read + self.cache_write + self.reasoning

    @property
    def tokens(self) -> dict[str, int]:
        """Its tokens by kind, as a charge tells them."""
        kinds = ("input", "output", "cache_read", "cache_write", "reasoning")
        return {kind: getattr(self, kind) for kind in kinds}


Cost = Callable[[Usage], int]
"""What a usage costs, in credits."""


def settlement(usage: Usage, cost: Cost | None) -> dict[str, Any]:
    """Return the arguments of a settlement; without `cost` the service's price list decides."""
    return {
        "credit_amount": None if cost is None else cost(usage),
        "tokens": usage.tokens,
        "model_used": usage.model,
        "details": {"estimated": True} if usage.is_estimated else None,
    }


def told_usage(told: Any, model: str | None) -> Usage | None:
    """Return the usage that an answer tells, in the shape of either interface; None: it does not.

    Chat completions count what was cached among `prompt_tokens`, and reasoning among
    `completion_tokens`; responses do the same with `input_tokens` and `output_tokens`.
    """
    if told is None:
        return None
    given = _first(told, "prompt_tokens", "input_tokens")
    made = _first(told, "completion_tokens", "output_tokens")
    about_given = _part(told, "prompt_tokens_details", "input_tokens_details")
    about_made = _part(told, "completion_tokens_details", "output_tokens_details")
    cached = min(_first(about_given, "cached_tokens"), given)
    written = min(_first(about_given, "cache_write_tokens"), given - cached)
    reasoning = min(_first(about_made, "reasoning_tokens"), made)
    return Usage(given - cached - written, made - reasoning, cached, written, reasoning, model)


def estimated(asked: Any, answered: int, model: str | None) -> Usage:
    """Return an estimate: of a request's texts, and of so many characters of an answer."""
    return Usage(
        tokens_of(sum(map(len, texts_of(asked)))),
        tokens_of(answered),
        model=model,
        is_estimated=True,
    )


def tokens_of(characters: int) -> int:
    """Return about how many tokens a text of so many characters is."""
    return -(-characters // CHARACTERS_A_TOKEN)


def texts_of(value: Any) -> Iterable[str]:
    """Yield the texts of a request's messages, whatever they are nested in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in ("role", "type", "image_url"):
                yield from texts_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_of(item)


class Tally:
    """Counts a stream as its pieces come: of chat completions, of responses, or of messages.

    `named` is what the model is called, whatever the pieces call it.
    """

    def __init__(self, asked: Any, model: str | None, *, named: str | None = None) -> None:
        self._asked = asked
        self._named = named
        self._model = named or model
        self._characters = 0
        self._usage: Usage | None = None
        self.has_begun = False
        """Something has come: the model was at work."""

    def take(self, piece: Any) -> None:
        """Count one piece."""
        self.has_begun = True
        if isinstance(piece, bytes):
            self._characters += sum(map(_length_of_event, piece.split(b"\n")))
            return
        answer = getattr(piece, "response", None) or piece
        self._model = self._named or getattr(answer, "model", None) or self._model
        self._usage = told_usage(getattr(answer, "usage", None), self._model) or self._usage
        for name in ("delta", "output_text"):
            text = getattr(piece, name, None)
            self._characters += len(text) if isinstance(text, str) else 0
        for choice in getattr(piece, "choices", None) or ():
            self._characters += _length(getattr(choice, "delta", None))
            self._characters += _length(getattr(choice, "message", None))

    @property
    def usage(self) -> Usage:
        """What was used so far: as the model told, or an estimate."""
        if self._usage is not None:
            return replace(self._usage, model=self._model)
        return estimated(self._asked, self._characters, self._model)


def _length(message: Any) -> int:
    """Return how many characters a message of a chat, or a piece of one, has."""
    calls = getattr(message, "tool_calls", None) or ()
    arguments = [getattr(getattr(call, "function", None), "arguments", None) for call in calls]
    texts = [getattr(message, "content", None), getattr(message, "refusal", None), *arguments]
    return sum(len(text) for text in texts if isinstance(text, str))


def _length_of_event(line: bytes) -> int:
    """Return how many characters of an answer a line of Anthropic's event stream has."""
    if not line.startswith(b"data:"):
        return 0
    try:
        event = json.loads(line.removeprefix(b"data:"))
    except ValueError:  # A piece need not end where a line does.
        return 0
    delta = _of(event, "delta")
    texts = [_of(delta, name) for name in ("text", "thinking", "partial_json")]
    return sum(len(text) for text in texts if isinstance(text, str))


def _first(told: Any, *names: str) -> int:
    """Return the first of some numbers that is there."""
    for name in names:
        value = _of(told, name)
        if isinstance(value, int) and value > 0:
            return value
    return 0


def _part(told: Any, *names: str) -> Any:
    return next((found for name in names if (found := _of(told, name)) is not None), None)


def _of(told: Any, name: str) -> Any:
    return told.get(name) if isinstance(told, dict) else getattr(told, name, None)

"""The OpenAPI document: what FastAPI writes of the operations, made whole."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from actors.edge.backend import NEEDS_KEY
from actors.edge.examples import NONE, Schemas, example_of, show_examples
from actors.edge.problem_bodies import (
    CLOSER_PROBLEMS,
    MEDIA_TYPE,
    PROBLEMS,
    REFERENCE,
    InsufficientCredits,
    InvalidRequest,
    NotReady,
    Problem,
)
from domain.api.requests import BatchedUsageBody, RecordUsageBody

JSON = "application/json"
NAMED_PROBLEMS = (Problem, InsufficientCredits, InvalidRequest, NotReady)
ABOUT = """
Every amount is a whole number of credits. Every write takes an `Idempotency-Key`: a repeat gets
the first answer again, with `Idempotent-Replayed: true`. Errors are problem bodies (RFC 9457) with
a stable `code`; a 5xx means: repeat with the same key. A body has at most 1 MiB. What is said twice
(a parameter, a member of a JSON object) is refused. HEAD is answered wherever GET is. A user id in a
path is percent-encoded whole, its slashes too (`/subscriptions/org%2Fada`).
"""
SECURITY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of the scope `read`, `write` or `admin`. Each includes the ones"
        " before. The first one is in `admin.key` of the data directory; `allotment keys create`"
        " makes others.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A user's own token: it reads the data of its `sub` and nothing else.",
    },
}
TAGS = {
    "subscription": "What applications ask for every request: credits and usage",
    "subscriptions": "Subscriptions as a whole",
    "users": "Users as persons",
    "events": "What the world is told",
    "admin": "For operators",
    "stripe": "For Stripe",
    "probes": "Whether the service answers",
}
RETRY_AFTER = {"description": "Seconds to wait before the repeat.", "schema": {"type": "integer"}}
QUOTA = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in {
        "RateLimit": "What is left of the caller's quota, and for how many seconds.",
        "RateLimit-Policy": "The caller's quota and the length of its window in seconds.",
    }.items()
}
HEADERS = {
    "402": {
        "Retry-After": {
            "description": "Seconds until the credits cover it, where that is within a day.",
            "schema": {"type": "integer"},
        }
    },
    "429": {"Retry-After": RETRY_AFTER} | QUOTA,
    "503": {"Retry-After": RETRY_AFTER},
}
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` where this is the first answer to the key, given again.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation: that of its function."""
    return route.name


class Interface(FastAPI):
    """FastAPI with a document that says all there is to say."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, bodies = models_json_schema(
                [
                    *((body, "validation") for body in (RecordUsageBody, BatchedUsageBody)),
                    *((problem, "serialization") for problem in NAMED_PROBLEMS),
                ],
                ref_template=REFERENCE + "{model}",
            )
            schemas = document["components"]["schemas"]
            schemas |= bodies["$defs"]
            document["components"]["securitySchemes"] = SECURITY
            document["info"]["description"] = ABOUT
            document["tags"] = [{"name": n, "description": text} for n, text in TAGS.items()]
            for path, operation in operations_of(document):
                complete(path, operation, schemas)
            show_examples(document)
        return super().openapi()


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every operation with its path."""
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def complete(path: str, operation: dict[str, Any], schemas: Schemas) -> None:
    """Give an operation its tag, the first line of its text as summary, and examples."""
    operation.setdefault("security", NEEDS_KEY)
    folder = path.split("/")[1]
    operation["tags"] = [folder if folder in TAGS else "probes"]
    summary, _, rest = operation.get("description", "").partition("\n")
    operation["summary"] = summary.rstrip(".").replace("`", "")  # It is shown as it is written.
    operation["description"] = rest.strip() or summary
    for content in operation.get("requestBody", {}).get("content", {}).values():
        show_example(content, schemas, None)
    takes_key = any(p["name"] == "Idempotency-Key" for p in operation.get("parameters", []))
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if status >= "400" and JSON in content:
            content[MEDIA_TYPE] = content.pop(JSON)
        if status in HEADERS:
            response["headers"] = HEADERS[status]
        if status < "300":
            response["description"] = HTTPStatus(int(status)).phrase
            response.update({"headers": REPLAYED} if takes_key else {})
        for body in content.values():
            show_example(body, schemas, CLOSER_PROBLEMS.get((path, status), PROBLEMS.get(status)))


def show_example(
    content: dict[str, Any], schemas: Schemas, otherwise: dict[str, Any] | None
) -> None:
    """Put the example of a body's schema where readers and generators look for it."""
    example = example_of(content.get("schema", {}), schemas)
    if example is NONE:
        example = otherwise
    if example is not None:
        content["example"] = example

"""The examples of models, as the interface shows them."""

from typing import Any

from pydantic import BaseModel

from actors.edge.examples import example_of


def example(model: type[BaseModel]) -> dict[str, Any]:
    """Return the example of a model."""
    schema = model.model_json_schema(mode="serialization")
    found: dict[str, Any] = example_of(schema, schema.get("$defs", {}))
    return found

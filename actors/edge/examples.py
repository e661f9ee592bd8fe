"""The examples of bodies, made of those that stand at the fields of their models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]
Schemas = Mapping[str, Schema]

NONE: Any = object()
"""No example: one that there is may be null."""
NULL: Schema = {"type": "null"}


def show_examples(document: Schema) -> None:
    """Give each schema of a document its examples as a whole, in place of those of its fields.

    A model's own examples come after the one that its fields make.
    """
    schemas = document["components"]["schemas"]
    examples = {}
    for name, schema in schemas.items():
        made = example_of(schema, schemas)
        own = schema.get("examples", [])
        examples[name] = own if made is NONE or made in own else [made, *own]
    _remove_examples(document)
    for name, found in examples.items():
        if found:
            schemas[name]["examples"] = found


def example_of(schema: Schema, schemas: Schemas, given: Any = NONE) -> Any:
    """Return the example of a JSON schema; NONE where something that must be there has none.

    An example at a field that holds objects says only in what it differs from theirs. A list of
    several kinds shows one of each.
    """
    if given is NONE and "properties" not in schema:
        given = schema.get("examples", [NONE])[0]
    match schema:
        case {"$ref": str(reference)}:
            return example_of(schemas[reference.rpartition("/")[2]], schemas, given)
        case {"properties": _}:
            return _object(schema, schemas, {} if given is NONE else given)
        case {"items": dict(items)}:
            return _list(items.get("anyOf", [items]), schemas, given)
        case {"additionalProperties": dict(values)} if given is not NONE:
            return {key: example_of(values, schemas, one) for key, one in given.items()}
        case {"anyOf": [*kinds]} if given is not None:
            return next(_examples(kinds, schemas, given), NONE)
    return schema.get("const", NONE) if given is NONE else given


def _examples(kinds: Iterable[Schema], schemas: Schemas, given: Any = NONE) -> Iterator[Any]:
    """Yield the examples of those kinds that have one."""
    made = (example_of(kind, schemas, given) for kind in kinds)
    return (one for one in made if one is not NONE)


def _list(kinds: Sequence[Schema], schemas: Schemas, given: Any) -> Any:
    if given is NONE:
        return list(_examples(kinds, schemas)) or NONE
    return [example_of(kinds[0], schemas, one) for one in given]


def _object(schema: Schema, schemas: Schemas, given: Mapping[str, Any]) -> Any:
    """Return an object's example. One that its fields do not make is the first of its own."""
    made = {}
    for name, field in schema["properties"].items():
        value = example_of(field, schemas, given.get(name, NONE))
        if value is NONE and name in schema.get("required", ()):
            value = field.get("default", None if NULL in field.get("anyOf", ()) else NONE)
            if value is NONE:
                return schema.get("examples", [NONE])[0]
        if value is not NONE:
            made[name] = value
    return made


def _remove_examples(part: Any) -> None:
    if isinstance(part, dict):
        part.pop("examples", None)
    for inner in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        _remove_examples(inner)

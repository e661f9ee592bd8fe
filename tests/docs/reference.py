"""The HTTP reference of the site: a page made of the OpenAPI document, for search and for reading."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from actors.edge.app import build_app
from actors.edge.backend import Backend

Schema = Mapping[str, Any]
SCHEMAS = "#/components/schemas/"


class _Unasked:
    """Stands for a backend where nothing is asked of it: the document is made of the routes."""

    def __getattr__(self, name: str) -> "_Unasked":
        return self


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document, as `GET /openapi.json` answers it."""
    return build_app(cast("Backend", _Unasked()))._app.openapi()


def reference_page(document: Schema) -> str:
    """Return the page: every operation by tag, then every schema with its fields."""
    return "\n".join(lines_of(document)) + "\n"


def lines_of(document: Schema) -> Iterator[str]:
    yield from ("# HTTP reference", "")
    yield "Made from the OpenAPI document that a running service answers at `/openapi.json`."
    yield from (
        "[http.md](http.md) is the overview.",
        "",
        *document["info"]["description"].split("\n"),
    )
    for tag in document["tags"]:
        yield from ("", f"## {tag['name'].capitalize()}", "", f"{tag['description']}.")
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if tag["name"] in operation["tags"]:
                    yield from operation_lines(f"{method.upper()} {path}", operation)
    yield from ("", "## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from schema_lines(name, schema)


def operation_lines(call: str, operation: Schema) -> Iterator[str]:
    yield from ("", f"### {call}", "", operation["description"])
    if parameters := operation.get("parameters"):
        yield from ("", "| parameter | in | type | meaning |", "| --- | --- | --- | --- |")
        for one in parameters:
            needed = ", required" if one.get("required") else ""
            yield row(
                f"`{one['name']}`",
                one["in"] + needed,
                type_of(one["schema"]),
                one.get("description") or one["schema"].get("description", ""),
            )
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield from ("", f"Body: {type_of(content['schema'])}")
    yield from ("", "| answer | body | when |", "| --- | --- | --- |")
    for status, answer in operation["responses"].items():
        bodies = [
            type_of(one["schema"])
            for one in answer.get("content", {}).values()
            if one.get("schema")
        ]
        yield row(status, " or ".join(bodies), answer.get("description", ""))


def schema_lines(name: str, schema: Schema) -> Iterator[str]:
    yield from ("", f"### {name}", "")
    if text := schema.get("description"):
        yield from (text, "")
    if values := schema.get("enum"):
        yield "One of " + ", ".join(f"`{value}`" for value in values) + "."
    if properties := schema.get("properties"):
        required = set(schema.get("required", ()))
        yield from ("| field | type | meaning |", "| --- | --- | --- |")
        for field, one in properties.items():
            mark = "" if field in required else ", optional"
            yield row(f"`{field}`", type_of(one) + mark, meaning(one))


def meaning(schema: Schema) -> str:
    """Return what a field means, with its bounds and its default."""
    words = [schema["description"]] if "description" in schema else []
    bounds = {"minimum": "≥", "maximum": "≤", "maxLength": "length ≤", "maxItems": "items ≤"}
    words += [f"{sign} {schema[name]:,}" for name, sign in bounds.items() if name in schema]
    if schema.get("default") is not None:
        words.append(f"default `{schema['default']}`")
    return "; ".join(words)


def type_of(schema: Schema) -> str:
    """Return what a value is in few words, with a link where it is a schema of its own."""
    if reference := schema.get("$ref"):
        name = str(reference).removeprefix(SCHEMAS)
        return f"[{name}](#{name.lower()})"
    for options in ("anyOf", "oneOf", "allOf"):
        if options in schema:
            return " or ".join(dict.fromkeys(type_of(one) for one in schema[options]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    kind = schema.get("format") or schema.get("type") or "any"
    return str(kind)


def row(*cells: str) -> str:
    """Return a row of a table, whatever its texts contain."""
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

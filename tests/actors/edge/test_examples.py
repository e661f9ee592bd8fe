"""Examples of bodies are made of the examples at the fields of their models."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from actors.edge.examples import NONE, example_of, show_examples
from domain.api.fields import shown


class Part(BaseModel):
    kind: Literal["part"] = "part"
    name: Annotated[str, Field(examples=["a"])]
    size: int = Field(examples=[1])


class Other(BaseModel):
    weight: int = Field(examples=[2])


class Whole(BaseModel):
    model_config = shown(note="all that it says")

    part: Part | None = Field(default=None, examples=[{"size": 3}])
    parts: list[Part | Other] = []
    small: list[Part] = Field(default=[], examples=[[{"size": 0}, {"name": "b"}]])
    named: dict[str, Part] = Field(default={}, examples=[{"x": {}}])
    gone: Part | None = Field(default=None, examples=[None])
    note: str | None = None


class Incomplete(BaseModel):
    model_config = shown(code="c", size=1)

    code: str
    size: int = Field(examples=[2])


class Bare(BaseModel):
    code: str


PART = {"kind": "part", "name": "a", "size": 1}


def made_of(model: type[BaseModel]) -> Any:
    schema = model.model_json_schema()
    return example_of(schema, schema.get("$defs", {}))


def test_a_body_shows_its_parts_with_what_differs_in_them() -> None:
    assert made_of(Whole) == {
        "part": PART | {"size": 3},
        "parts": [PART, {"weight": 2}],
        "small": [PART | {"size": 0}, PART | {"name": "b"}],
        "named": {"x": PART},
        "gone": None,
    }


@pytest.mark.parametrize(
    ("field", "example"),
    [
        ({"type": "string", "examples": ["a", "b"]}, "a"),
        ({"type": "string", "default": "d", "examples": ["a"]}, "a"),
        ({"type": "string", "default": "d"}, "d"),
        ({"anyOf": [{"type": "string", "examples": ["a"]}, {"type": "null"}]}, "a"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, None),
        ({"type": "array", "items": {"type": "string"}, "default": []}, []),
        ({"const": 201}, 201),
    ],
)
def test_a_field_that_must_be_there_is_shown_without_an_example_too(
    field: dict[str, Any], example: Any
) -> None:
    assert example_of({"properties": {"one": field}, "required": ["one"]}, {}) == {"one": example}


def test_a_model_whose_fields_make_no_example_shows_its_own() -> None:
    assert made_of(Incomplete) == {"code": "c", "size": 1}
    assert made_of(Bare) is NONE


def test_a_document_has_examples_of_whole_models_alone() -> None:
    whole = Whole.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = whole.pop("$defs") | {"Whole": whole, "Bare": Bare.model_json_schema()}

    show_examples({"components": {"schemas": schemas}})

    assert schemas["Part"]["examples"] == [PART]
    assert schemas["Whole"]["examples"][1:] == [{"note": "all that it says"}]
    assert "examples" not in schemas["Bare"]
    assert "examples" not in schemas["Part"]["properties"]["name"]

"""The OpenAPI document: valid, whole, and true of what is answered."""

from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from actors.edge.gate import OPEN, is_open
from actors.edge.openapi import operations_of
from actors.edge.problem_bodies import CLOSER_PROBLEMS, MEDIA_TYPE, PROBLEMS, Problem
from actors.edge.problems import STATUS
from tests.fakes.edge import edge
from tests.fakes.shards import in_loop

PARTS = {"FieldError", "PackSource", "Problem"}
"""Models without an example: parts of others, and the one that has many."""


def models_of(base: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the models of ours that are made of one, by name."""
    found: dict[str, type[BaseModel]] = {}
    for model in base.__subclasses__():
        found |= models_of(model)
        if model.__module__.startswith(("actors.", "domain.")):
            found[model.__name__] = model
    return found


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    @in_loop
    async def read() -> None:
        async with edge() as (http, _):
            found.append((await http.get("/openapi.json")).json())

    read()
    return found[0]


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_operation_says_what_it_does_who_may_call_it_and_what_it_answers(
    document: dict[str, Any],
) -> None:
    for path, operation in operations_of(document):
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        assert (operation["security"] == []) == is_open(path)
        done = [status for status in operation["responses"] if status < "300"]
        assert len(done) == 1
        if not is_open(path):
            assert {"401", "403", "413", "422", "429", "503"} <= set(operation["responses"])
        if "requestBody" in operation:
            assert {"408", "415"} <= set(operation["responses"])


def test_every_body_has_an_example_and_errors_are_problem_bodies(document: dict[str, Any]) -> None:
    for path, operation in operations_of(document):
        for status, response in operation["responses"].items():
            if status == "204":
                assert "content" not in response
                continue
            (media_type,) = response["content"]
            if media_type == "text/event-stream":
                continue
            assert media_type == (MEDIA_TYPE if status >= "400" else "application/json"), path
            assert response["content"][media_type]["example"], (path, status)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["example"], path


def test_every_example_is_an_instance_of_its_schema_and_its_model(document: dict[str, Any]) -> None:
    schemas, models = document["components"]["schemas"], models_of(BaseModel)

    for name, schema in schemas.items():
        validator = OAS31Validator(schema | {"components": document["components"]})
        for example in schema.get("examples", ()):
            assert list(validator.iter_errors(example)) == []
            shown = models[name].model_validate(example).model_dump(mode="json")
            assert {field: shown[field] for field in example} == example
    objects = {name for name, schema in schemas.items() if "properties" in schema}
    assert {name for name in objects if not schemas[name].get("examples")} == PARTS


def test_what_a_body_may_say_besides_is_shown_after_the_plain_example(
    document: dict[str, Any],
) -> None:
    daily, pack = document["components"]["schemas"]["AddCreditBody"]["examples"]

    assert (daily["days"], pack["kind"]) == (30, "pack")


def test_examples_of_problems_have_codes_that_belong_to_their_status() -> None:
    for status, example in PROBLEMS.items():
        Problem.model_validate(example)
        assert STATUS[example["code"]] == int(status)


def test_problems_of_single_operations_are_shown_there(document: dict[str, Any]) -> None:
    operations = list(operations_of(document))
    for (path, status), example in CLOSER_PROBLEMS.items():
        Problem.model_validate(example)
        assert STATUS[example["code"]] == int(status)
        of_path = [o["responses"] for p, o in operations if p == path and status in o["responses"]]
        assert of_path
        for responses in of_path:
            assert responses[status]["content"][MEDIA_TYPE]["example"] == example


@in_loop
async def test_the_page_needs_nothing_of_the_internet() -> None:
    async with edge() as (http, _):
        http.headers.clear()
        page = await http.get("/docs")
        files = [f"/docs/{name}" for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js")]
        answered = [await http.get(path) for path in files]
        unknown = await http.get("/docs/../app.py")

    assert page.status_code == 200
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert all(path.removeprefix("/") in page.text for path in files)
    assert [answer.status_code for answer in answered] == [200, 200, 200]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert unknown.status_code in (401, 404)


def test_open_paths_are_few() -> None:
    assert {"/healthz", "/readyz", "/openapi.json", "/portal", "/stripe/webhook"} == OPEN
    for folder in ("/docs", "/embed"):
        assert is_open(folder)
        assert is_open(f"{folder}/file")
        assert not is_open(f"{folder}x")
    assert not is_open("/portal/file")

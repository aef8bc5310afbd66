"""The OpenAPI document says everything that a client has to know."""

from __future__ import annotations

from typing import Any

import pytest

from app.schemas.forms import FORMS
from tests.support.api import ApiClient

OPEN = {"/health", "/ready"}


@pytest.fixture(scope="module")
def document(api: ApiClient) -> dict[str, Any]:
    """The document as it is served."""
    found: dict[str, Any] = api.get("//openapi.json", token=None).json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation as (method, path, description)."""
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    known = {tag["name"] for tag in document["tags"]}
    ids = []
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert set(operation["tags"]) <= known, (method, path)
        ids.append(operation["operationId"])
    assert len(set(ids)) == len(ids)
    assert len(ids) > 40


def test_every_operation_documents_its_problems(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        answers = operation["responses"]
        refusals = {status for status in answers if status.startswith("4")}
        assert refusals, (method, path)
        assert ("401" in refusals) == (path not in OPEN), (method, path)
        assert bool(operation.get("security")) == (path not in OPEN), (method, path)
        for status, answer in answers.items():
            if not status.startswith("2"):
                content = answer["content"]["application/problem+json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert content["example"]["status"] == int(status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_body_and_every_answer_has_an_example(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for method, path, operation in operations(document):
        body = operation.get("requestBody")
        if body is not None:
            reference = body["content"]["application/json"]["schema"]["$ref"]
            schema = schemas[reference.rpartition("/")[2]]
            assert schema["examples"], (method, path)
            assert schema["additionalProperties"] is False, (method, path)
            assert {"413", "415"} <= set(operation["responses"]), (method, path)
        for status, answer in operation["responses"].items():
            if status.startswith("2") and status != "204":
                assert answer["content"]["application/json"]["example"], (method, path)


def test_money_is_text_with_a_pattern(document: dict[str, Any]) -> None:
    order = document["components"]["schemas"]["NewOrder"]["properties"]
    assert order["quantity"]["type"] == "string"
    assert order["quantity"]["pattern"].startswith("^(0|[1-9]")


def test_an_order_states_that_it_needs_a_key_and_keeps_its_own_problem_without_one(
    api: ApiClient, document: dict[str, Any]
) -> None:
    parameters = document["paths"]["/api/v1/orders"]["post"]["parameters"]
    (key,) = (each for each in parameters if each["in"] == "header")
    assert (key["name"], key["required"]) == ("Idempotency-Key", True)
    assert key["schema"]["type"] == "string"
    assert key["schema"]["pattern"]
    assert key["schema"]["examples"]
    order = {"account": "demo", "symbol": "BTC/USDT", "side": "buy", "type": "market"}
    missing = api.post("/orders", {**order, "quantity": "0.01"})
    assert (missing.status_code, missing.json()["code"]) == (400, "missing-idempotency-key")


def patterns(schema: Any) -> set[str]:
    """Every pattern somewhere in a schema."""
    if isinstance(schema, list):
        return {each for part in schema for each in patterns(part)}
    if not isinstance(schema, dict):
        return set()
    own = schema.get("pattern")
    found = {each for part in schema.values() for each in patterns(part)}
    return found | ({own} if isinstance(own, str) else set())


def parts_of(operation: dict[str, Any]) -> set[str]:
    """The patterns of an operation's parameters."""
    return patterns(operation.get("parameters", []))


def test_every_pattern_that_a_client_may_miss_is_told_in_words(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    asked = {each for _, _, operation in operations(document) for each in parts_of(operation)}
    assert len(asked) >= 7
    assert asked <= set(FORMS)
    assert {each for each in patterns(schemas) if each not in FORMS} == set()

"""The OpenAPI document: problems documented once, an example on every answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.problems import MEDIA_TYPE
from app.schemas.common import Problem

TAGS: Final = [
    {"name": "market data", "description": "Plans, instruments, coverage, prices and klines."},
    {"name": "jobs", "description": "Work longer than a request."},
    {"name": "strategies", "description": "Strategies, their versions and instances."},
    {"name": "backtests", "description": "Backtests and their reports."},
    {"name": "accounts", "description": "Accounts, balances, positions, fills."},
    {"name": "orders", "description": "Orders by hand, and all orders."},
    {"name": "risk", "description": "Halts, limits, and what the gate decided."},
    {"name": "system", "description": "Health, readiness, and what this installation is."},
]
_PREFIX: Final = "#/components/schemas/"
_SUMMARIES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("malformed-json", "the form of the request: JSON, query, missing Idempotency-Key"),
    401: ("unauthorized", "no token, or one that is not known"),
    404: ("not-found", "no such resource"),
    409: ("conflict", "the present state forbids it"),
    413: ("body-too-large", "the body is too large"),
    415: ("unsupported-media-type", "the body is not application/json"),
    422: ("invalid-request", "a value does not fit"),
    502: ("venue-error", "the exchange gave an answer that cannot be used"),
    503: ("unavailable", "a part that is needed is down; see Retry-After"),
}


def problems(*statuses: int, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """Documentation of the problems of a route; the token and the form are always checked."""
    wanted = {400, 401, 422, *statuses} | ({413, 415} if body else set())
    return {status: _documented(status) for status in sorted(wanted)}


def open_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """As ``problems``, for a route that asks for no token."""
    return {status: _documented(status) for status in sorted({400, 422, *statuses})}


def _documented(status: int) -> dict[str, Any]:
    code, text = _SUMMARIES[status]
    example = {
        "type": f"urn:tidemark:problem:{code}",
        "title": text,
        "status": status,
        "code": code,
        "detail": text,
        "trace_id": "6f9a3c0e8f1d4a55b1d8a0c4e2f7b913",
    }
    return {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_PREFIX}Problem"}, "example": example}},
    }


def install(app: FastAPI) -> None:
    """Let the application describe itself with ``document``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    own = Problem.model_json_schema(ref_template=_PREFIX + "{model}")
    schemas.update(own.pop("$defs", {}))
    schemas["Problem"] = own
    for operations in found["paths"].values():
        for operation in operations.values():
            _require_keys(operation)
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                if content is not None and status.startswith("2"):
                    content["example"] = _example(content["schema"], schemas)
    return found


def _require_keys(operation: Mapping[str, Any]) -> None:
    """Say that a key against doubled orders is required.

    To the framework it is optional, so that its absence is a problem of its own, with its own code.
    """
    for parameter in operation.get("parameters", []):
        if parameter["name"].lower() == "idempotency-key":
            outer = dict(parameter["schema"])
            (inner,) = (each for each in outer.pop("anyOf") if each["type"] != "null")
            parameter.update(name="Idempotency-Key", required=True, schema={**outer, **inner})


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value that fits a schema, made of the examples of its fields."""
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].removeprefix(_PREFIX)], schemas)
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas)
    return _plain(schema, schemas)


def _plain(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: _example(field, schemas) for name, field in fields.items()}
    if kind == "array":
        return [_example(schema["items"], schemas)]
    return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(str(kind), "text")

"""The OpenAPI document, made from the table of operations that the application also serves.

An operation says everything once: route, handler, parameters, answers.  Schemas come from the
answers' msgspec types, so the document cannot say other than what is sent.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from quart import Response

from monitor.core.access import Policy
from monitor.web.problems import CONTENT_TYPE, Problem

Handler = Callable[..., Awaitable[Response]]

_REF = "#/components/schemas/{name}"
_BYTES = {"type": "string", "format": "binary"}
_PLACEHOLDER = re.compile(r"<(?:[a-z]+(?:\([^)]*\))?:)?([a-z_]+)>")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation."""

    name: str
    help: str
    place: str = "query"
    required: bool = False
    repeated: bool = False
    schema: str = "string"
    choices: tuple[str, ...] = ()
    """The only words that it may be."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route of the API.

    `rule` is the route as the application writes it, `answer` the type of its success, whose
    status is `status` (a msgspec type, or a media type's name for anything that is not JSON),
    `problems` the statuses of the errors that it may answer beside those of the door, `body` the
    types of which it takes one as JSON, `raw_body` the media types of one that is not described
    here, `also` the media types in which it answers beside JSON.
    Without a handler it is served beside the framework.
    """

    method: str
    rule: str
    name: str
    summary: str
    handler: Handler | None
    answer: Any
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    body: tuple[type[msgspec.Struct], ...] = ()
    also: tuple[str, ...] = ()
    status: int = 200
    raw_body: tuple[str, ...] = ()
    policy: Policy = field(kw_only=True)
    """Who may ask; on purpose without a default."""


def document(operations: tuple[Operation, ...], version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these operations."""
    types = [operation.answer for operation in operations if not isinstance(operation.answer, str)]
    types += [body for operation in operations for body in operation.body]
    _, schemas = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = _PLACEHOLDER.sub(r"{\1}", operation.rule)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Awoooi Monitor",
            "version": version,
            "description": "Hosts, their history and the event stream. Times are unix seconds.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    content = _content(operation.answer)
    for media_type in operation.also:
        content |= _content(media_type)
    answers: dict[str, Any] = {
        str(operation.status): {"description": "What was asked for.", "content": content}
    }
    guarded = (401, 403, 429) if operation.policy is not Policy.PUBLIC else ()
    for status in sorted({*operation.problems, *guarded, 421}):
        (schema,), _ = msgspec.json.schema_components([Problem], ref_template=_REF)
        answers[str(status)] = {
            "description": "Why not.",
            "content": {CONTENT_TYPE: {"schema": schema}},
        }
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": answers,
    }
    described["security"] = [] if operation.policy is Policy.PUBLIC else [{"token": []}]
    if operation.body:
        forms, _ = msgspec.json.schema_components(operation.body, ref_template=_REF)
        taken = {"application/json": {"schema": {"anyOf": list(forms)}}}
        described["requestBody"] = {"required": True, "content": taken}
    if operation.raw_body:
        contents: dict[str, Any] = {
            media_type: {"schema": {}} if media_type.endswith("json") else {"schema": _BYTES}
            for media_type in operation.raw_body
        }
        described["requestBody"] = {"required": True, "content": contents}
    return described


def _content(answer: Any) -> dict[str, Any]:
    if not answer:
        return {}
    if answer == "text/event-stream":
        return {answer: {}}  # a schema there is of each event, and some tools take it for that
    if isinstance(answer, str):
        return {answer: {"schema": {} if answer.endswith("json") else {"type": "string"}}}
    (schema,), _ = msgspec.json.schema_components([answer], ref_template=_REF)
    return {"application/json": {"schema": schema}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.schema}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.repeated:
        schema = {"type": "array", "items": schema}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.help,
        "required": parameter.required or parameter.place == "path",
        "schema": schema,
    }

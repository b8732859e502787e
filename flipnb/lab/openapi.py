"""The endpoints as OpenAPI 3.1, and the same contract as TypeScript.

``python -m flipnb.lab.openapi`` writes both files, and the schemas of plan files and cohorts; tests find them
changed where a contract was changed and this was not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from flipnb import __version__
from flipnb.lab.endpoint import NAMESPACE, Endpoint
from flipnb.lab.endpoints import ALL
from flipnb.lab.listener import EVENTS
from flipnb.workbench.schemas import publish

_SOURCE = Path(__file__).resolve().parents[2] / "labextension"
OPENAPI_FILE = _SOURCE / "openapi.json"
TYPESCRIPT_FILE = _SOURCE / "src" / "contracts.ts"
_REFERENCE = "#/components/schemas/{model}"


class _Told(GenerateJsonSchema):
    """What the server says has every field, those with a default included."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)


def openapi(endpoints: Iterable[Endpoint] = ALL) -> dict[str, Any]:
    """The OpenAPI document."""
    endpoints = tuple(endpoints)
    references, components = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for item in endpoints:
        paths.setdefault(f"/{NAMESPACE}/{item.path}", {})[item.method.lower()] = _operation(item, references)
    error = {"type": "object", "properties": {name: {"type": "string"} for name in ("message", "reason", "remedy")}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "FLIP in JupyterLab", "version": __version__},
        "paths": paths,
        "components": {"schemas": {**components, "Refusal": {**error, "required": ["message", "reason", "remedy"]}}},
    }


def typescript(endpoints: Iterable[Endpoint] = ALL) -> str:
    """The contract as TypeScript: an interface per model, ``IEndpoints`` and ``IEvents``."""
    endpoints = tuple(endpoints)
    references, components = _schemas(endpoints)
    lines = [
        "// Written by `python -m flipnb.lab.openapi`; change the contracts in Python, not this file.",
        "",
    ]
    lines += ["/** The version that the server extension must have. */", f"export const VERSION = '{__version__}';", ""]
    for name, schema in sorted(components.items()):
        lines += [*_comment(schema.get("description")), *_declaration(_type_name(name), schema), ""]
    lines += ["/** Every endpoint of the server extension, by its method and path. */", "export interface IEndpoints {"]
    for item in sorted(endpoints, key=lambda item: (item.path, item.method)):
        answer = _type(references[item.answer, "serialization"])
        body = _type(references[item.body, "validation"]) if item.body is not None else "undefined"
        lines += [
            *_comment(item.summary, "  "),
            f"  '{item.method} {item.path}': {{",
            f"    path: {_arguments(item, item.in_path)};",
            f"    query: {_arguments(item, item.in_query)};",
            f"    body: {body};",
            f"    answer: {answer};",
            "  };",
        ]
    lines += ["}", "", "/** What the server pushes, by event schema. */", "export interface IEvents {"]
    lines += [f"  '{name}': {_type(references[model, 'serialization'])};" for name, model in sorted(EVENTS.items())]
    return "\n".join([*lines, "}", ""])


def _schemas(endpoints: tuple[Endpoint, ...]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """References by (model, mode), and the schemas that they refer to. What the server says is ``serialization``."""
    models = {(item.answer, "serialization"): None for item in endpoints}
    models |= {(item.body, "validation"): None for item in endpoints if item.body is not None}
    models |= {(model, "serialization"): None for model in EVENTS.values()}
    references, schemas = models_json_schema(list(models), ref_template=_REFERENCE, schema_generator=_Told)  # type: ignore[arg-type]
    return references, schemas.get("$defs", {})


def _operation(item: Endpoint, references: Mapping[Any, Any]) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "path" if name in item.in_path else "query",
            "required": item.arguments[name].default is item.arguments[name].empty,
            "schema": TypeAdapter(item.arguments[name].annotation).json_schema(),
        }
        for name in (*item.in_path, *item.in_query)
    ]
    operation: dict[str, Any] = {"operationId": item.name, "summary": item.summary, "tags": [item.resource]}
    if parameters:
        operation["parameters"] = parameters
    if item.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(references[item.body, "validation"])}
    refusal = {"$ref": _REFERENCE.format(model="Refusal")}
    operation["responses"] = {
        "200": {"description": "Done", "content": _json(references[item.answer, "serialization"])},
        "default": {"description": "Refused, and why", "content": _json(refusal)},
    }
    return operation


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _arguments(item: Endpoint, names: tuple[str, ...]) -> str:
    if not names:
        return "undefined"
    parts = []
    for name in names:
        parameter = item.arguments[name]
        optional = "" if parameter.default is parameter.empty else "?"
        parts.append(f"{name}{optional}: {_type(TypeAdapter(parameter.annotation).json_schema())}")
    return f"{{ {'; '.join(parts)} }}"


def _declaration(name: str, schema: Mapping[str, Any]) -> list[str]:
    if schema.get("type") != "object" or "properties" not in schema:
        return [f"export type {name} = {_type(schema)};"]
    lines = [f"export interface {name} {{"]
    for field, kind in schema["properties"].items():
        optional = "" if field in schema.get("required", ()) else "?"
        key = field if re.fullmatch(r"\w+", field) else f"'{field}'"
        lines += [*_comment(kind.get("description"), "  "), f"  {key}{optional}: {_type(kind)};"]
    return [*lines, "}"]


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema as a TypeScript type expression."""
    if "$ref" in schema:
        return _type_name(schema["$ref"].rsplit("/", 1)[-1])
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(_literal(value) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_type(part) for part in schema[key]))
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_type(part) for part in schema['prefixItems'])}]"
        inner = _type(schema.get("items", {}))
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if kind == "object":
        values: Any = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
        return f"{{ [name: string]: {_type(values) if isinstance(values, dict) else 'unknown'} }}"
    plain = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
    return plain.get(str(kind), "unknown")


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def _type_name(name: str) -> str:
    """An interface begins with I, as in all of JupyterLab: ``RunView`` is ``IRunView``."""
    return "I" + re.sub(r"\W+", "", name)


def _comment(text: str | None, indent: str = "") -> list[str]:
    if not text:
        return []
    lines = [line.strip() for line in text.replace("*/", "* /").strip().split("\n")]
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


if __name__ == "__main__":
    OPENAPI_FILE.write_text(json.dumps(openapi(), indent=2) + "\n")
    TYPESCRIPT_FILE.write_text(typescript())
    publish()

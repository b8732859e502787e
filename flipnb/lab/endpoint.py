"""Endpoints: plain functions whose annotations are the contract. Handlers, OpenAPI and TypeScript are made of them.

    @endpoint("GET", "studies/{study}/runs", "runs")
    def list_runs(bench: Bench, study: Name) -> RunPage:
        \"\"\"A study's runs, the newest first.\"\"\"

The first argument is always the bench; arguments named in the path come from it, ``body`` from the request's JSON,
every other one from the query. What a function returns is a Document. It runs in a thread, so that it may wait.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from flipnb.contracts.document import Document, invalid, load_json
from flipnb.contracts.problem import FlipError
from flipnb.lab.bench import Bench

Method = Literal["GET", "POST", "PUT", "DELETE"]
Function = Callable[..., Document]

NAMESPACE = "flipnb"
_SEGMENT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Endpoint:
    """One function under one method and path; ``resource`` is what Jupyter's authorizer is asked about."""

    method: Method
    path: str
    resource: str
    call: Function
    arguments: Mapping[str, inspect.Parameter]
    answer: type[Document]

    @property
    def name(self) -> str:
        """The function's name, which is the operation's in OpenAPI."""
        return self.call.__name__

    @property
    def summary(self) -> str:
        """The first line of the function's docstring, without the full stop."""
        return (inspect.getdoc(self.call) or "").split("\n")[0].rstrip(".")

    @property
    def in_path(self) -> tuple[str, ...]:
        """The arguments that are segments of the path, in its order."""
        return tuple(_SEGMENT.findall(self.path))

    @property
    def in_query(self) -> tuple[str, ...]:
        """The arguments that come in the query."""
        return tuple(name for name in self.arguments if name not in (*self.in_path, "body"))

    @property
    def body(self) -> type[Document] | None:
        """The document that a request brings; None where it brings none."""
        parameter = self.arguments.get("body")
        return None if parameter is None else parameter.annotation

    @property
    def pattern(self) -> str:
        """The path as Tornado's regular expression below the server's base URL."""
        return f"{NAMESPACE}/" + _SEGMENT.sub(r"(?P<\1>[^/]+)", self.path)

    def run(self, bench: Bench, path: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Document:
        """Check every argument, then call. Raises FlipError ``invalid-request`` (422), and what the function raises."""
        for name in query:
            if name not in self.in_query:
                raise FlipError("invalid-request", f"The query's {name} is not known here.", status=422)
        found: dict[str, Any] = {}
        for name, parameter in self.arguments.items():
            if name == "body":
                found[name] = self._read(parameter.annotation, body)
                continue
            text = path.get(name, query.get(name))
            if text is not None:
                found[name] = self._value(name, parameter.annotation, text)
            elif parameter.default is parameter.empty:
                raise FlipError("invalid-request", f"The query's {name} is missing.", status=422)
        return self.call(bench, **found)

    def _read(self, model: type[Document], body: bytes) -> Document:
        load_json(body, "The request")
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            wrong = invalid(error, "The request")
            raise FlipError("invalid-request", wrong.message, status=422) from None

    def _value(self, name: str, annotation: Any, text: str) -> Any:
        try:
            return TypeAdapter(annotation).validate_strings(text)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise FlipError("invalid-request", f"{name}: {reason}.", status=422) from None


def endpoint(method: Method, path: str, resource: str) -> Callable[[Function], Endpoint]:
    """Make an endpoint of a function; ``resource`` is a plural noun, such as ``runs``."""

    def make(call: Function) -> Endpoint:
        signature = inspect.signature(call, eval_str=True)
        _, *names = signature.parameters
        arguments = {name: signature.parameters[name] for name in names}
        made = Endpoint(method, path, f"{NAMESPACE}:{resource}", call, arguments, signature.return_annotation)
        missing = set(made.in_path) - set(arguments)
        if missing:
            raise TypeError(f"{call.__name__} has no argument {sorted(missing)[0]!r}, which its path names")
        return made

    return make

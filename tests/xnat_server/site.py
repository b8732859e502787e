"""What a site says of itself: its build, its schemas, which types may be searched, its script of anonymisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.responses import PlainTextResponse, Response

from xnat_server.answers import as_json, not_found, rows
from xnat_server.archive import SESSION_TYPES, Archive

_SCHEMAS = Path(__file__).parent / "schemas"
_ELEMENTS = ("xnat:projectData", "xnat:subjectData", *SESSION_TYPES.values())


@dataclass
class Site:
    """``script`` is a DicomEdit script; ``enabled`` whether it is applied to what comes in."""

    version: str = "1.9.2"
    script: str = 'version "6.3"\n'
    enabled: bool = False

    def build(self) -> Response:
        told = {"version": self.version, "buildNumber": "1", "buildDate": "Mon Nov 02 09:00:00 UTC 2026"}
        return as_json(told)

    def anonymize(self, method: str, rest: str, body: bytes, enable: str) -> Response:
        """``/xapi/anonymize/site`` and ``/xapi/anonymize/site/enabled``, whose query, not its body, says what to do."""
        if rest == "site" and method == "PUT":
            self.script = body.decode()
        elif rest == "site/enabled" and method == "PUT":
            self.enabled = enable == "true"
        elif rest == "site":
            return PlainTextResponse(self.script)
        elif rest == "site/enabled":
            return as_json(self.enabled)
        else:
            return not_found(rest)
        return Response(status_code=200)


def schema_names() -> Response:
    return as_json(sorted(path.stem for path in _SCHEMAS.glob("*.xsd")))


def schema(name: str) -> Response:
    path = _SCHEMAS / f"{name}.xsd"
    if not path.is_file():
        return not_found(name)
    return Response(path.read_bytes(), media_type="application/xml")


def elements(archive: Archive, form: str) -> Response:
    """The secured types: an unsecured one can't be searched."""
    told = [
        {"ELEMENT_NAME": name, "SINGULAR": name, "PLURAL": f"{name}s", "SECURED": "true", "COUNT": "0"}
        for name in _ELEMENTS
        if name not in archive.unsecured
    ]
    return rows(told, form, [], "Elements")


def element(name: str, form: str) -> Response:
    """The fields of a type that a search may show."""
    if name not in _ELEMENTS:
        return not_found(name)
    told = [
        {
            "FIELD_ID": field, "HEADER": field, "SUMMARY": f"{name}/{field}", "TYPE": "string", "DESC": "",
            "REQUIRES_VALUE": "false", "ELEMENT_NAME": name, "SRC": "0",
        }
        for field in ("LABEL", "PROJECT", "DATE")
    ]  # fmt: skip
    return rows(told, form, [], "Fields")

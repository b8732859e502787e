"""Rows as XNAT writes them: JSON, CSV or XML by ``format``; pages of HTML where something is wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from starlette.responses import HTMLResponse, PlainTextResponse, Response

LOGIN_PAGE = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN">\n<html><head><title>XNAT</title></head><body>'
    '<form name="form1" method="post" action="/xnat/login"><h3>Please log in</h3></form></body></html>'
)
"""What old releases answer to who is not logged in."""

Rows = Sequence[Mapping[str, str]]


def rows(found: Rows, form: str, columns: Sequence[str], title: str) -> Response:
    """A listing. ``columns`` say which, in which order; a row without one has it empty."""
    named = list(columns) or list(dict.fromkeys(name for row in found for name in row))
    cells = [[row.get(name, "") for name in named] for row in found]
    if form == "csv":
        stream = io.StringIO()
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(named)
        writer.writerows(cells)
        return PlainTextResponse(stream.getvalue(), media_type="text/csv")
    if form == "xml":
        head = "".join(f"<column>{escape(name)}</column>" for name in named)
        body = "".join(f"<row>{''.join(f'<cell>{escape(cell)}</cell>' for cell in row)}</row>" for row in cells)
        told = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ResultSet title="{escape(title)}" totalRecords="{len(cells)}">'
            f"<results><columns>{head}</columns><rows>{body}</rows></results></ResultSet>"
        )
        return Response(told, media_type="text/xml")
    result = [dict(zip(named, row, strict=True)) for row in cells]
    return as_json({"ResultSet": {"Result": result, "totalRecords": str(len(result)), "title": title}})


def item(xsi_type: str, fields: Mapping[str, str], children: Mapping[str, Sequence[Any]], form: str) -> Response:
    """One thing with what is in it; ``children`` by field, each as ``item_of`` made it."""
    if form == "xml":
        told = " ".join(f'{name}="{escape(value, {chr(34): "&quot;"})}"' for name, value in fields.items() if value)
        name = xsi_type.removesuffix("Data")
        xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {told} xmlns:xnat="http://nrg.wustl.edu/xnat"/>'
        return Response(xml, media_type="text/xml")
    return as_json({"items": [item_of(xsi_type, fields, children)]})


def item_of(xsi_type: str, fields: Mapping[str, str], children: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {
        "children": [{"field": name, "items": list(items)} for name, items in children.items() if items],
        "meta": {"create_event_id": "1", "xsi:type": xsi_type, "isHistory": False, "start_date": ""},
        "data_fields": {name: value for name, value in fields.items() if value},
    }


def as_json(told: Any) -> Response:
    return Response(json.dumps(told), media_type="application/json")


def not_found(what: str) -> Response:
    return HTMLResponse(
        f"<html><head><title>Status page</title></head><body><h3>Not Found</h3><p>{escape(what)}</p></body></html>", 404
    )


def wrong(status: int, what: str) -> Response:
    return HTMLResponse(f"<html><body><h3>{escape(what)}</h3></body></html>", status)

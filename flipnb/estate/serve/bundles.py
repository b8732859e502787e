"""Search results as FHIR's searchset bundles, and the server's CapabilityStatement."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flipnb import __version__
from flipnb.estate.serve.outcomes import outcome
from flipnb.records.fhir import Page, Search, Store
from flipnb.records.fhir.parameters import INCLUDES
from flipnb.records.fhir.resources import RESOURCES, tables_of
from flipnb.records.fhir.search import parameters_of


def instant(moment: datetime) -> str:
    """FHIR's instant: UTC, with milliseconds and ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def searchset(base: str, wanted: Search, page: Page, store: Store, remarks: Sequence[str]) -> dict[str, Any]:
    """A page's bundle. ``remarks`` are said in an OperationOutcome among the entries."""
    address = f"{base}/{wanted.resource}"
    own = [(name, value) for name, value in wanted.used if name != "_cursor"]
    links = [{"relation": "self", "url": f"{address}?{urlencode(own)}" if own else address}]
    if page.cursor is not None:
        query = urlencode([*own, ("_cursor", f"{store.version}.{page.cursor}")])
        links.append({"relation": "next", "url": f"{address}?{query}"})
    entries = [_entry(base, resource, "match") for resource in page.resources]
    entries += [_entry(base, resource, "include") for resource in page.included]
    if remarks:
        entries.append(
            {
                "fullUrl": f"urn:uuid:{uuid.uuid4()}",
                "resource": outcome([("warning", "not-supported", words) for words in remarks]),
                "search": {"mode": "outcome"},
            }
        )
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "meta": {"lastUpdated": instant(store.updated)},
        "type": "searchset",
    }
    if page.total is not None:
        bundle["total"] = page.total
    bundle["link"] = links
    if entries:
        bundle["entry"] = entries
    return bundle


def _entry(base: str, resource: dict[str, Any], mode: str) -> dict[str, Any]:
    return {
        "fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}",
        "resource": resource,
        "search": {"mode": mode},
    }


def capability_statement(base: str, store: Store) -> dict[str, Any]:
    """What the server can do, with the estate's tables as they are."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(store.updated),
        "publisher": "FLIP",
        "kind": "instance",
        "software": {"name": "flip estate serve", "version": __version__},
        "implementation": {"description": "FHIR R4 over a Trust's OMOP estate, read-only", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "A bearer token, which the server keeps in a file beside its estate."},
                "resource": [_capabilities(kind, store) for kind in RESOURCES],
            }
        ],
    }


def _capabilities(kind: str, store: Store) -> dict[str, Any]:
    tables = tables_of(kind)
    known = parameters_of(kind)
    there = [table.name for table in tables if store.has(table.name, table.key, "person_id")]
    names = " and ".join(table.name for table in tables)
    made = f"Made of OMOP's table {names}." if there else f"The estate has no table {names}: searches find nothing."
    includes = [f"{kind}:{link}" for link in INCLUDES if link in known]
    reverse = [
        f"{other}:{link}"
        for other in RESOURCES
        for link, (_, target) in INCLUDES.items()
        if target == kind and link in parameters_of(other)
    ]
    body: dict[str, Any] = {
        "type": kind,
        "documentation": made,
        "interaction": [{"code": "read"}, {"code": "vread"}, {"code": "search-type"}],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": False,
        "conditionalRead": "not-match",
    }
    if includes:
        body["searchInclude"] = includes
    if reverse:
        body["searchRevInclude"] = reverse
    body["searchParam"] = [{"name": "_lastUpdated", "type": "date"}] + [
        {"name": name, "type": parameter.kind} for name, parameter in known.items()
    ]
    return body

"""``load``: the door to every mapping and every kind of estate."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.estate.harmonise.athena_feed import AthenaFeed
from flipnb.estate.harmonise.build import MEMORY
from flipnb.estate.harmonise.feed import Feed, Progress
from flipnb.estate.harmonise.fhir_feed import FhirFeed
from flipnb.estate.harmonise.identities_feed import IdentitiesFeed
from flipnb.estate.harmonise.loading import MAX_REJECTS, LoadReport, load_directory
from flipnb.estate.harmonise.mapped_feed import MappedFeed
from flipnb.estate.harmonise.omop_feed import OmopFeed
from flipnb.estate.harmonise.server import load_server
from flipnb.estate.identities import FEED as IDENTITIES

_BUILT_IN: dict[str, Callable[[], Feed]] = {
    "omop-5.4": OmopFeed,
    "fhir-r4": FhirFeed,
    "athena": AthenaFeed,
    IDENTITIES: IdentitiesFeed,
}


def load(
    source: Path | str,
    mapping: Path | str,
    into: Path | str,
    *,
    max_rejects: float = MAX_REJECTS,
    progress: Progress | None = None,
    memory: str = MEMORY,
    in_use: Collection[str] | None = None,
    allow_empty: bool = False,
) -> LoadReport:
    """Harmonise a source into OMOP CDM 5.4 and make it the estate's current version.

    ``source`` is a file, a folder or a zip; ``mapping`` a mapping file, or a built-in one; ``into`` the directory of an
    estate, or a Trust's ``postgresql://`` address. What the same mapping brought before is replaced, files
    that have not changed are not read again, and the rows of other mappings stay. The same data by the same mappings
    give the same version id. A load that died goes on where it was. ``memory`` is what DuckDB may use before it spills.
    A new version in a directory takes the place of those before the last, but for those ``in_use``; where that is not
    said, all of them stay. ``allow_empty``: the load may leave an estate that had people without any.

    Raises FlipError for the mapping, the source (``no-source``, ``bad-archive``, ``bad-header``, ``bad-file``), the
    rows (``too-many-rejects``, ``people-clash``, ``people-lost``) and the estate (``estate-busy``, ``database-away``);
    it is then as it was.
    """
    feed = _feed(mapping, Path(source))
    told = progress or (lambda stage, rows: None)
    if str(into).startswith(("postgresql://", "postgres://")):
        return load_server(
            feed,
            str(source),
            str(into),
            max_rejects=max_rejects,
            progress=told,
            memory=memory,
            allow_empty=allow_empty,
        )
    return load_directory(
        feed,
        str(source),
        Path(into),
        max_rejects=max_rejects,
        progress=told,
        memory=memory,
        in_use=in_use,
        allow_empty=allow_empty,
    )


def _feed(mapping: Path | str, source: Path) -> Feed:
    if str(mapping) in _BUILT_IN:
        return _BUILT_IN[str(mapping)]()
    path = Path(mapping)
    if not path.exists() and (nested := _below(source, path.name)):
        raise FlipError(
            "no-mapping",
            f"There is no mapping {mapping}; the source has {', '.join(map(str, nested))}.",
            remedy="Name the one that is meant, with its folder.",
        )
    if not path.exists() and not path.suffix:
        raise FlipError(
            "no-mapping", f"There is no mapping {mapping}.", remedy=f"Name a file, or one of {', '.join(_BUILT_IN)}."
        )
    return MappedFeed(path)


def _below(source: Path, name: str) -> list[Path]:
    """Files of this name in the source, or in any folder of it; three at most."""
    return sorted(source.rglob(name))[:3] if name and source.is_dir() else []

"""Freezing a cohort: a fresh folder with only its members, only the dataset's concepts, under pseudonyms."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from flipnb.contracts.cohort import CohortExpression
from flipnb.contracts.dataset import Dataset, Split
from flipnb.contracts.frozen import DATABASE
from flipnb.contracts.images import ImageCount
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort.generation import compiled_for, count_people
from flipnb.estate.database import DuckDBDatabase, reading
from flipnb.estate.frozen_file import Member, write_frozen
from flipnb.estate.imaging.archive import Archive
from flipnb.estate.imaging.decoder import Decoder, Process, unjailed
from flipnb.estate.imaging.freezing import ImageStores, freeze_images
from flipnb.estate.imaging.kept_images import KeptImages
from flipnb.estate.splitting import parts_of
from flipnb.estate.versions import Bounds, Estate
from flipnb.files.whole import making

KEPT_IMAGES = ".images"
"""The folder beside frozen cohorts that holds what was decoded for earlier ones."""


@dataclass(frozen=True)
class FrozenCohort:
    """How many people are in each part, and a commitment to who they are.

    ``commitment`` is HMAC-SHA256 (hexadecimal) of the estate version and the members' ids under ``salt`` (32 random
    bytes, hexadecimal), new each time, so that equal cohorts don't show. Whoever keeps the salt can open it. ``images``
    says what became of each of the dataset's sets of images.
    """

    train: int
    validation: int
    test: int
    commitment: str
    salt: str
    images: tuple[ImageCount, ...] = ()


def count(estate: Path, version: str, expression: CohortExpression, *, bounds: Bounds | None = None) -> int:
    """How many people (not rows) a cohort has in one version: exact, for the enclave alone."""
    with reading(estate, version, bounds=bounds) as database:
        return count_people(database, expression)


def freeze(
    estate: Path,
    version: str,
    expression: CohortExpression,
    dataset: Dataset,
    split: Split,
    key: bytes,
    path: Path,
    *,
    bounds: Bounds | None = None,
    start_decoder: Callable[[socket], Process] = unjailed,
) -> FrozenCohort:
    """Write the frozen cohort to the folder ``path``, complete or not at all.

    Images are decoded by a process that ``start_decoder`` makes, and kept in ``.images`` beside ``path`` for the next
    time. Those that can't be used are left out and counted.

    A pseudonym is HMAC-SHA256(key, person_id), cut to 63 bits; row ids count from 1, in pseudonymous order. A person
    with several cohort periods has the first. Raises FlipError ``exists``, ``unknown-version``, ``stratum-missing``,
    ``unit-differs`` (a variable's unit is not the one in which the estate holds its values).
    """
    import duckdb

    if path.exists():
        raise FlipError("exists", f"{path} exists already.")
    with making(path) as partial:
        opened = Estate.open(estate, bounds)
        with opened.reading(version) as source:
            rows = compiled_for(DuckDBDatabase(source, version), expression).rows()
            members = source.execute(
                f"SELECT person_id, min(start_date), arg_min(end_date, start_date) FROM ({rows}) GROUP BY 1 ORDER BY 1"
            ).fetchall()
            people = [int(row[0]) for row in members]
            parts = parts_of(source, members, dataset, split)
        frozen = [
            Member(int(person), _pseudonym(key, int(person)), start, end, parts[int(person)])
            for person, start, end in members
        ]
        counts: list[ImageCount] = []

        def images(target: duckdb.DuckDBPyConnection) -> None:
            kept = KeptImages(path.parent / KEPT_IMAGES)
            with Decoder(start_decoder) as decoder:
                stores = ImageStores(Archive(estate), kept, decoder)
                counts.extend(freeze_images(target, dataset.images, partial, stores))

        with duckdb.connect(str(partial / DATABASE), config=opened.bounds.config(path.parent)) as target:
            write_frozen(target, opened.file(version), dataset, frozen, images if dataset.images else lambda _: None)
        (partial / DATABASE).chmod(0o444)
    sizes = {part: sum(1 for value in parts.values() if value == part) for part in ("train", "validation", "test")}
    salt = secrets.token_bytes(32)
    return FrozenCohort(
        sizes["train"],
        sizes["validation"],
        sizes["test"],
        commitment_to(version, people, salt),
        salt.hex(),
        tuple(counts),
    )


def commitment_to(version: str, people: Sequence[int], salt: bytes) -> str:
    """The commitment to ``people`` (ids of the estate, ascending) of an estate version; see FrozenCohort."""
    message = f"flip/members/1\n{version}\n{','.join(map(str, people))}"
    return hmac.new(salt, message.encode(), hashlib.sha256).hexdigest()


def _pseudonym(key: bytes, person: int) -> int:
    digest = hmac.new(key, str(person).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") >> 1

"""Files that a load holds back: into the quarantine with their pictures, and out of it as a controller decided."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flipnb.estate.imaging.batch.sources import Item
from flipnb.estate.imaging.burned_in import FoundText
from flipnb.estate.imaging.quarantine import Decided, Quarantine, Reason

FOLDER = "quarantine"
_PIECE = 1 << 20


@dataclass(frozen=True)
class HeldBack:
    """The quarantine of an estate's images."""

    store: Quarantine

    @classmethod
    def of(cls, images: Path) -> HeldBack:
        """``images`` is the estate's folder of images."""
        return cls(Quarantine(images / FOLDER))

    def decisions(self) -> dict[str, Decided]:
        """What was decided, by the SHA-256 of the original; nobody may change it before ``carry_out``."""
        return self.store.take()

    def items(self, names: dict[str, str]) -> Iterator[Item]:
        """Originals whose decision waits to be carried out, under the names by which they were given."""
        for held in self.store.list(waiting=False):
            path = self.store.original(held.id)
            if held.carried_out is None and held.id in names and path.is_file():
                yield Item(names[held.id], path, size=held.bytes)

    def hold(self, item: Item, answer: dict[str, Any], spool: Path) -> None:
        """Keep the original with why it is held back, and what was drawn of it."""
        facts = answer.get("facts") or {}
        original = item.path if item.member is None else _inflated(item, spool)
        reasons = [Reason(str(one["where"]), str(one["kind"])) for one in answer.get("reasons") or ()]
        texts = [
            FoundText(int(one["frame"]), tuple(one["box"]), str(one["text"]), float(one["score"]))
            for one in answer.get("texts") or ()
        ]
        pictures = {int(frame): Path(path) for frame, path in (answer.get("pictures") or {}).items()}
        try:
            self.store.hold(
                original,
                reasons or [Reason("file", str(answer["reason"])[:200])],
                texts=texts,
                kind=str(facts.get("modality") or ""),
                person=str(facts.get("person") or ""),
                pictures={frame: path.read_bytes() for frame, path in pictures.items() if path.is_file()},
            )
        finally:
            spool.unlink(missing_ok=True)

    def carry_out(self, ids: Iterable[str]) -> None:
        """Those are in the estate, or refused: their originals go. Of the others one may decide anew."""
        settled = set(ids)
        for held in self.store.list(waiting=False):
            if held.id in settled and held.carried_out is None:
                self.store.carried_out(held.id)
        self.store.put_back()


def _inflated(item: Item, spool: Path) -> Path:
    """A zip's member as a file of its own, no larger than it was said to be."""
    with (
        zipfile.ZipFile(item.path) as archive,
        archive.open(archive.infolist()[item.member or 0]) as member,
        spool.open("wb") as file,
    ):
        shutil.copyfileobj(member, file, _PIECE)
    return spool

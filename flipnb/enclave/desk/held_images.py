"""Images that are held back, at the desk: which, why, how they look, and what a data controller decides.

Decisions are in the audit log before they count; a load of images carries them out. Pictures were drawn by a jailed
worker when the image was held back; none is drawn or decoded here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from flipnb.contracts.controller import Controller
from flipnb.contracts.document import Document
from flipnb.contracts.held_images import MOST_IMAGES, HeldImage, HeldImages, HeldText, ImageMark
from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import as_line
from flipnb.enclave.desk.plain_png import plain_png
from flipnb.enclave.desk.server import read
from flipnb.enclave.stores.audit import AuditLog
from flipnb.estate.imaging.quarantine import Decided, Held, HeldNumbers, Quarantine, Reason

_PICTURE_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_FOLDER = Path("images", "quarantine")
_DATABASE = "quarantine.sqlite"
_MOST_TEXTS = 200
_DIGITS = 9


class HeldBack:
    """Those of the estate in the directory ``estate``; ``controllers`` are who decides here now."""

    def __init__(self, estate: Path, audit: AuditLog, controllers: Callable[[], Iterable[Controller]]) -> None:
        self._folder = estate / _FOLDER
        self._audit, self._controllers = audit, controllers

    def waiting(self) -> int:
        """How many images wait for a decision."""
        return self._numbers().waiting

    async def images(self, request: Request) -> Document:
        """GET /images?after=IMAGE: a page of them."""
        return await asyncio.to_thread(self._page, request.query_params.get("after", ""))

    async def image(self, request: Request) -> Document:
        """GET /images/{image}: one of them. FlipError ``not-in-quarantine`` (404)."""
        return told(await asyncio.to_thread(lambda: self._store().get(request.path_params["image"])))

    async def picture(self, request: Request) -> Response:
        """GET /images/{image}/picture?frame=N: as PNG, without N that of the first frame that has one.

        FlipError ``not-in-quarantine``, ``no-picture`` (404), ``bad-query``, ``not-a-picture``.
        """
        asked = request.query_params.get("frame")
        if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) <= _DIGITS):
            raise FlipError("bad-query", "frame must be a number.")
        frame = None if asked is None else int(asked)
        png = await asyncio.to_thread(self._picture, request.path_params["image"], frame)
        return Response(png, media_type="image/png", headers=_PICTURE_HEADERS)

    async def decide(self, request: Request) -> Document:
        """POST /images/{image}/decision: the image as it is now.

        FlipError ``unknown-controller`` (404), ``cover-not-enough`` (409), ``disk-full``, ``audit-broken``, and as
        ``Quarantine.decide``.
        """
        mark = await read(ImageMark, request)
        return await asyncio.to_thread(self._decide, request.path_params["image"], mark)

    def _page(self, after: str) -> HeldImages:
        if not self._there:
            return HeldImages(images=(), waiting=0, decided=0)
        store = self._store()
        found = tuple(map(told, store.page(after=after, most=MOST_IMAGES)))
        numbers = store.numbers()
        return HeldImages(images=found, waiting=numbers.waiting, decided=numbers.decided)

    def _picture(self, image: str, frame: int | None) -> bytes:
        return plain_png(self._store().picture(image, frame))

    def _decide(self, image: str, mark: ImageMark) -> HeldImage:
        key = next((known.key_id for known in self._controllers() if known.name == mark.controller), None)
        if key is None:
            raise FlipError("unknown-controller", f"No data controller here is called {mark.controller!r}.", status=404)
        self._audit.require_whole()
        store = self._store()
        if mark.decision == "blank" and not _coverable(store.get(image)):
            raise FlipError(
                "cover-not-enough",
                "Not only its pixels hold this image back: covering them does not help.",
                remedy="Release it with what was found in its header, or refuse it.",
                status=409,
            )

        def record(decided: Decided) -> None:
            self._audit.append("image-decided", **decided.entry(), controller_key=key)

        store.decide(image, mark.decision, mark.controller, boxes=mark.boxes, record=record)
        return told(store.get(image))

    @property
    def _there(self) -> bool:
        """An estate without images has none, and is given none by who looks."""
        return (self._folder / _DATABASE).exists()

    def _store(self) -> Quarantine:
        if not self._there:
            raise FlipError("not-in-quarantine", "No image is held back here.", status=404)
        return Quarantine(self._folder)

    def _numbers(self) -> HeldNumbers:
        return self._store().numbers() if self._there else HeldNumbers(0, 0)


def held_in(estate: Path) -> tuple[HeldImage, ...]:
    """All of those in an estate's directory, as the desk says them. Raises FlipError ``no-such-estate``."""
    if not estate.is_dir():
        raise FlipError("no-such-estate", f"There is no directory {estate}.", status=404)
    if not (estate / _FOLDER / _DATABASE).exists():
        return ()
    return tuple(told(held) for held in Quarantine(estate / _FOLDER).list() if held.carried_out is None)


def told(held: Held) -> HeldImage:
    """An image as the desk says it."""
    decided = held.decided
    return HeldImage(
        image=held.id,
        held=_moment(held.at),
        kind=as_line(held.kind),
        person=as_line(held.person),
        bytes=held.bytes,
        reasons=tuple(_sentence(reason) for reason in held.reasons),
        texts=tuple(HeldText(frame=t.frame, box=t.box, text=as_line(t.text)) for t in held.texts[:_MOST_TEXTS]),
        frames=held.frames,
        coverable=_coverable(held),
        decision=decided.decision if decided else None,
        controller=as_line(decided.controller) if decided else None,
        decided=_moment(decided.at) if decided else None,
        final=held.taken is not None or held.carried_out is not None,
    )


def _coverable(held: Held) -> bool:
    return bool(held.frames) and all(reason.where == "pixels" for reason in held.reasons)


def _sentence(reason: Reason) -> str:
    where, kind = as_line(reason.where), as_line(reason.kind)
    if where == "pixels":
        return as_line(f"In its pixels: {kind or 'something'}.")
    if where == "file":
        return as_line(f"The file: {kind}.")
    return as_line(f"Left in its header at {where}: {kind}.")


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at).replace(microsecond=0)

"""``flip images held`` and ``decide``: images that are held back, and what a data controller decides, in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flipnb.cli.controller_key import ControllerOption, EnclaveOption, enclave_controller, enclave_directory
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly
from flipnb.contracts.held_images import HeldImage, HeldImages, ImageMark
from flipnb.contracts.problem import FlipError
from flipnb.link.desk import DeskClient, desk
from flipnb.wording.values import many

_SHORTEST = 8
_SHOWN = 3
_WORDS = {"release": "to be released", "blank": "to be covered and released", "refuse": "to be refused"}

Image = Annotated[str, typer.Argument(help="The image's SHA-256; its first 8 characters or more will do.")]


@speaks_plainly
def held(
    enclave: EnclaveOption = None,
    within: Annotated[
        Path | None, typer.Option("--in", help="Look into an estate's directory itself, without an enclave's agent.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the images that are held back until a data controller decides, with why. It may show what names patients."""
    if within is not None:
        from flipnb.enclave.desk.held_images import held_in

        found = held_in(within)
    else:
        with desk(enclave_directory(enclave)) as client:
            found = _all(client)
    if as_json:
        print_json([image.model_dump(mode="json") for image in found])
        return
    waiting = sum(image.decision is None for image in found)
    print(f"{many(waiting, 'image')} waiting, {len(found) - waiting:,} decided and not carried out yet.")
    if found:
        print_table(
            ["image", "kind", "person", "why", "text in it", "decision", "by"],
            [
                [
                    image.image[:12],
                    image.kind,
                    image.person[:12],
                    _first(image.reasons),
                    _first([f"“{text.text}”" for text in image.texts]),
                    _WORDS.get(image.decision or "", ""),
                    image.controller,
                ]
                for image in found
            ],
        )


@speaks_plainly
def decide(
    image: Image,
    decision: Annotated[
        Literal["release", "blank", "refuse", "withdraw"],
        typer.Argument(help="blank covers each text that was found and releases the rest; withdraw takes back."),
    ],
    enclave: EnclaveOption = None,
    controller: ControllerOption = None,
    picture: Annotated[
        Path | None, typer.Option(help="Write the picture with its boxes to this new file first, and decide nothing.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide about an image that is held back; the next `flip images load` carries it out, and until then you can
    withdraw. Who decided, what and when is in the enclave's audit log."""
    directory = enclave_directory(enclave)
    with desk(directory) as client:
        whole = _whole(client, image)
        if picture is not None:
            _write(picture, client.send("GET", f"/images/{whole}/picture"))
            print_json({"image": whole, "picture": str(picture)}) if as_json else print_text(f"Look at {picture}.")
            return
        mark = ImageMark(controller=enclave_controller(directory, controller).name, decision=decision)
        now = HeldImage.model_validate_json(client.send("POST", f"/images/{whole}/decision", mark.to_bytes()))
    if as_json:
        print_json(now.model_dump(mode="json"))
    elif now.decision is None:
        print(f"{whole[:12]} waits again.")
    else:
        print_text(f"{whole[:12]} is {_WORDS[now.decision]} by the next load, decided by {now.controller}.")


def _all(client: DeskClient) -> tuple[HeldImage, ...]:
    found: list[HeldImage] = []
    while True:
        after = f"?after={found[-1].image}" if found else ""
        page = client.get(f"/images{after}", HeldImages).images
        found += page
        if not page:
            return tuple(found)


def _whole(client: DeskClient, start: str) -> str:
    """The SHA-256 that begins so. Raises FlipError ``not-in-quarantine``, ``which-image``."""
    if len(start) == 64:
        return start
    if len(start) < _SHORTEST:
        raise FlipError("which-image", f"{start!r} is too short.", remedy=f"Give {_SHORTEST} characters or more.")
    found = [image.image for image in _all(client) if image.image.startswith(start)]
    if len(found) != 1:
        code, said = ("which-image", "Several images begin") if found else ("not-in-quarantine", "No held image begins")
        raise FlipError(code, f"{said} with {start}.", remedy="See `flip images held`.", status=404)
    return found[0]


def _write(path: Path, png: bytes) -> None:
    """A new file that its owner alone may read. Raises FlipError ``file-exists``."""
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(png)
    except FileExistsError:
        raise FlipError("file-exists", f"{path} is there already; nothing was written.") from None


def _first(said: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return " ".join(said[:_SHOWN]) + more

"""Who decides at a Trust, in a terminal: which enclave, which data controller, and their key by its passphrase."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from flipnb.contracts.controller import Controller
from flipnb.contracts.desk import TriesLeft
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.link.desk import DeskClient, desk, enclave_controllers
from flipnb.link.key_files import load_key

EnclaveOption = Annotated[
    Path | None, typer.Option("--enclave", envvar="FLIP_ENCLAVE", help="The enclave's directory.")
]
ControllerOption = Annotated[str | None, typer.Option(help="Which data controller you are, where there are several.")]
PassphraseOption = Annotated[
    Path | None, typer.Option(help="A file with the controller's passphrase, instead of asking for it.")
]


def controller_key(directory: Path | None, name: str | None, passphrase_file: Path | None) -> SigningKey:
    """The controller's own key, opened with a passphrase that only this process sees.

    Where an agent runs it counts wrong ones. Raises FlipError ``which-controller``, ``too-many-tries``, ``no-file``,
    and as ``load_key``.
    """
    enclave = enclave_directory(directory)
    controller = enclave_controller(enclave, name)
    _tell_agent(lambda client: client.get(f"/tries/{controller.name}", TriesLeft), enclave)
    passphrase = passphrase_from(passphrase_file, f"The passphrase of {controller.name}")
    try:
        return load_key(enclave / "keys" / controller.key_file, passphrase)
    except FlipError as error:
        if error.code == "wrong-passphrase":
            _tell_agent(lambda client: client.post(f"/tries/{controller.name}"), enclave)
        raise


def _tell_agent(what: Callable[[DeskClient], object], enclave: Path) -> None:
    """Ask or tell an agent that runs; where none does there is nobody to tell."""
    try:
        with desk(enclave) as client:
            what(client)
    except FlipError as error:
        if error.code != "agent-down":
            raise


def enclave_directory(directory: Path | None) -> Path:
    """The enclave that a command is about. Raises FlipError ``no-enclave`` where none is named."""
    if directory is None:
        raise FlipError("no-enclave", "Which enclave?", remedy="Give --enclave DIRECTORY, or set FLIP_ENCLAVE.")
    return directory


def enclave_controller(directory: Path, name: str | None) -> Controller:
    """The one of ``name``; without a name the only one that there is. Raises FlipError ``which-controller``."""
    known = enclave_controllers(directory)
    named = [controller for controller in known if name in (None, controller.name)]
    if len(named) != 1:
        raise FlipError(
            "which-controller",
            f"The data controllers here are {', '.join(controller.name for controller in known)}.",
            remedy="Say which you are: --controller NAME.",
        )
    return named[0]


def passphrase_from(file: Path | None, question: str, *, new: bool = False) -> str:
    """What the file holds, or what a person types; a new one twice. Raises FlipError ``no-file``."""
    if file is None:
        typed: str = typer.prompt(question, hide_input=True, confirmation_prompt=new)
        return typed
    try:
        return file.read_text().strip("\r\n")
    except OSError as error:
        raise FlipError("no-file", f"The passphrase file {file} can't be read: {error.strerror}.") from None

"""Making a Trust's enclave: its directory, keys, stores, policy and one environment; who its controllers are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.controller import Controller
from flipnb.contracts.document import Document, invalid
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.stores.configuration import Configuration, EnclaveDirectory
from flipnb.enclave.stores.opening import make_stores
from flipnb.files.whole import write
from flipnb.link.key_files import save_key


def create_enclave(
    directory: Path,
    *,
    name: str,
    title: str,
    hub_url: str,
    hub_audience: str,
    hub_ca: Path,
    controller: str,
    controller_passphrase: str,
    policy: Policy,
    environment: str,
    lock_file: Path,
    runtime_dir: Path,
) -> EnclaveDirectory:
    """Make an enclave in ``directory``, which must not exist or be empty; all of it or nothing.

    The hub's certificate authority and the environment's lock are copied in. The node's key is the agent's; the
    controller's key is encrypted with the passphrase, which is kept nowhere.
    Raises FlipError ``not-empty``, ``weak-passphrase``, ``no-file``, ``invalid-document``.
    """
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        raise FlipError("not-empty", f"{directory} is not empty; an enclave is made in a new directory.")
    _refuse_weak(controller_passphrase)
    for file in (hub_ca, lock_file):
        if not file.is_file():
            raise FlipError("no-file", f"There is no file {file}.")
    try:
        return _fill(
            directory,
            Configuration(
                name=name,
                title=title,
                hub_url=hub_url,
                hub_audience=hub_audience,
                hub_ca="hub-ca.pem",
                controllers=(_make_keys(directory, controller, controller_passphrase),),
                runtime_dir=str(runtime_dir),
            ),
            policy,
            ca=hub_ca.read_bytes(),
            environment=environment,
            lock=lock_file.read_bytes(),
        )
    except BaseException as error:
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, ValidationError):
            raise invalid(error, "The enclave's configuration") from None
        raise


def add_controller(enclave: EnclaveDirectory, name: str, passphrase: str) -> Controller:
    """A further data controller, who has a new key under ``passphrase`` and may decide from now on.

    Raises FlipError ``weak-passphrase``, ``invalid-document`` (the name is none, or is taken), ``key-exists``.
    """
    _refuse_weak(passphrase)
    configuration = EnclaveDirectory.open(enclave.directory).configuration
    key = SigningKey.generate()
    try:
        controller = Controller(name=name, public_key=key.public_key)
        everybody = (*configuration.controllers, controller)
        changed = Configuration(**(configuration.model_dump() | {"controllers": everybody}))
    except ValidationError as error:
        raise invalid(error, "The data controller") from None
    file = enclave.keys / controller.key_file
    save_key(key, file, passphrase)
    try:
        _write_document(enclave.directory / "enclave.json", changed)
    except BaseException:
        file.unlink()
        raise
    return controller


def remove_controller(enclave: EnclaveDirectory, name: str) -> tuple[str, ...]:
    """End what a data controller may decide: what they approved and signed counts no more, and their key is removed.

    Returns the studies that they had signed the membership of, which another one has to join again.
    Raises FlipError ``no-controller``, ``last-controller``.
    """
    configuration = EnclaveDirectory.open(enclave.directory).configuration
    leaving = [controller for controller in configuration.controllers if controller.name == name]
    others = tuple(controller for controller in configuration.controllers if controller.name != name)
    if not leaving:
        known = ", ".join(controller.name for controller in others)
        raise FlipError("no-controller", f"There is no data controller {name!r} here; there are {known}.")
    if not others:
        raise FlipError(
            "last-controller", f"{name} is the only data controller here.", remedy="Add another one before."
        )
    changed = Configuration(**(configuration.model_dump() | {"controllers": others}))
    _write_document(enclave.directory / "enclave.json", changed)
    for controller in leaving:
        (enclave.keys / controller.key_file).unlink(missing_ok=True)
    node = enclave.load_node_key().key_id
    return Memberships(enclave.memberships, controllers=enclave.controllers, own_key=node).void()


def _refuse_weak(passphrase: str) -> None:
    if len(passphrase) < 8:
        raise FlipError("weak-passphrase", "The controller's passphrase must have at least 8 characters.")


def _make_keys(directory: Path, name: str, passphrase: str) -> Controller:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    (directory / "keys").mkdir(mode=0o700)
    save_key(SigningKey.generate(), directory / "keys" / "node.pem")
    key = SigningKey.generate()
    controller = Controller(name=name, public_key=key.public_key)
    save_key(key, directory / "keys" / controller.key_file, passphrase)
    return controller


def _fill(
    directory: Path, configuration: Configuration, policy: Policy, *, ca: bytes, environment: str, lock: bytes
) -> EnclaveDirectory:
    for part in ("memberships", "runs", "logs", "frozen"):
        (directory / part).mkdir(mode=0o700)
    # The estate worker reads it as a user of its own; the enclave's directory keeps everybody else out.
    (directory / "estate").mkdir(mode=0o755)
    (directory / "hub-ca.pem").write_bytes(ca)
    (directory / "environments" / environment).mkdir(parents=True)
    (directory / "environments" / environment / "lock.txt").write_bytes(lock)
    _write_document(directory / "policy.json", policy)
    _write_document(directory / "enclave.json", configuration)
    enclave = EnclaveDirectory.open(directory)
    make_stores(enclave, enclave.load_node_key())
    return enclave


def _write_document(path: Path, document: Document) -> None:
    text = json.dumps(document.model_dump(mode="json"), indent=2) + "\n"
    write(path, text.encode(), mode=0o600)

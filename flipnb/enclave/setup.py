"""Making a Trust's enclave: its directory, two keys, policy and one environment."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from flipnb.contracts.document import invalid
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.policy import Policy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.agent.configuration import Configuration, EnclaveDirectory, write_file


def create_enclave(
    directory: Path,
    *,
    name: str,
    title: str,
    hub_url: str,
    hub_audience: str,
    hub_ca: Path,
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
    if len(controller_passphrase) < 8:
        raise FlipError("weak-passphrase", "The controller's passphrase must have at least 8 characters.")
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
                controller_public_key=_make_keys(directory, controller_passphrase),
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


def _make_keys(directory: Path, passphrase: str) -> str:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    (directory / "keys").mkdir(mode=0o700)
    SigningKey.generate().save(directory / "keys" / "node.pem")
    controller = SigningKey.generate()
    controller.save(directory / "keys" / "controller.pem", passphrase)
    return controller.public_key


def _fill(
    directory: Path, configuration: Configuration, policy: Policy, *, ca: bytes, environment: str, lock: bytes
) -> EnclaveDirectory:
    write_file(directory / "keys" / "disclosure.key", os.urandom(32))
    for part in ("memberships", "runs", "logs", "frozen"):
        (directory / part).mkdir(mode=0o700)
    # The estate worker reads it as a user of its own; the enclave's directory keeps everybody else out.
    (directory / "estate").mkdir(mode=0o755)
    (directory / "hub-ca.pem").write_bytes(ca)
    (directory / "environments" / environment).mkdir(parents=True)
    (directory / "environments" / environment / "lock.txt").write_bytes(lock)
    for name, document in (("policy.json", policy), ("enclave.json", configuration)):
        text = json.dumps(document.model_dump(mode="json"), indent=2) + "\n"
        write_file(directory / name, text.encode())
    return EnclaveDirectory.open(directory)

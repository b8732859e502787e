"""``flip images site-script``: the script by which an XNAT anonymises what it takes in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flipnb.cli.controller_key import EnclaveOption, enclave_directory
from flipnb.cli.terminal import print_text, speaks_plainly
from flipnb.contracts.problem import FlipError


def add_to(app: typer.Typer) -> None:
    """Make it a command of ``flip images``."""
    app.command("site-script")(site_script)


@speaks_plainly
def site_script(
    script: Annotated[Path, typer.Argument(help="A DicomEdit script.")],
    at: Annotated[str, typer.Option("--at", metavar="XNAT", help="The XNAT, by its name in collector.json.")],
    enclave: EnclaveOption = None,
) -> None:
    """Have an XNAT apply a script to all that it takes in, by its administrator's alias token.

    Images are de-identified here all the same, whatever XNAT did before.
    """
    from flipnb.enclave.collector.order import Order, PutScript
    from flipnb.enclave.collector.process import CollectorProcess
    from flipnb.enclave.sandbox.uids import collector_uid

    directory = enclave_directory(enclave)
    try:
        content = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FlipError("no-script", f"{script} can't be read: {error}.") from None
    collector = CollectorProcess(
        directory,
        Order(order=PutScript(pacs=at, script=content)),
        uid=collector_uid(directory),
        log=directory / "logs" / "collector.log",
    )
    print_text(f"{at} applies {script} from now on: SHA-256 {collector.told().state}")

"""``flip study``: who takes part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flipnb.cli.controller_key import (
    ControllerOption,
    EnclaveOption,
    PassphraseOption,
    controller_key,
    enclave_directory,
)
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly
from flipnb.contracts.problem import FlipError
from flipnb.wording.brief import study_words

app = typer.Typer(help="Studies: who takes part, by key.", no_args_is_help=True)


@app.command()
@speaks_plainly
def create(
    name: Annotated[str, typer.Argument(help="Lower case letters, digits, hyphens.")],
    purpose: Annotated[str, typer.Option(help="What the study is for, in one sentence.")],
    trusts: Annotated[Path, typer.Option(help="A file of the Trusts' names and node keys, as they gave them to you.")],
    institution: Annotated[str, typer.Option(help="Whose study it is, for the data controllers.")] = "",
    ethics: Annotated[str, typer.Option(help="The ethics committee's reference.")] = "",
    governance: Annotated[str, typer.Option(help="The information governance reference.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a study. Its roster file then goes to each Trust's data controller, by another way than the hub."""
    from flipnb.contracts.keys import fingerprint
    from flipnb.workbench.home import Home
    from flipnb.workbench.studies import create_study, read_trusts, roster_path

    home = Home.find()
    roster = create_study(
        home, name, purpose, read_trusts(trusts), institution=institution, ethics=ethics, governance=governance
    )
    path = roster_path(home, name)
    if as_json:
        print_json({"study": name, "roster": roster.digest(), "file": str(path)})
        return
    print(f"Study {name}, roster {roster.digest()}\nGive this file to each Trust: {path}")
    print_text("\n".join(study_words(roster)))
    rows = [["researcher", r.name, fingerprint(r.public_key)] for r in roster.researchers]
    rows += [["Trust", t.title, fingerprint(t.public_key)] for t in roster.trusts]
    print_table(["", "name", "fingerprint"], rows)


@app.command("list")
@speaks_plainly
def list_studies(as_json: JsonOption = False) -> None:
    """Show your studies."""
    from flipnb.workbench.home import Home
    from flipnb.workbench.studies import list_studies as found

    studies = found(Home.find())
    if as_json:
        print_json(studies)
    else:
        print_table(["study", "purpose", "joined"], [[s["study"], s["purpose"], len(s["joined"])] for s in studies])


@app.command()
@speaks_plainly
def join(
    roster_file: Annotated[Path, typer.Argument(help="The roster, as the researcher gave it to you.")],
    enclave: EnclaveOption = None,
    compared: Annotated[
        str | None, typer.Option(help="The roster's digest, to say that you compared it by another channel.")
    ] = None,
    controller: ControllerOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """For a Trust's data controller: compare the fingerprints, then pin the study's keys in a signed membership."""
    from datetime import UTC, datetime

    from flipnb.contracts import envelope
    from flipnb.contracts.desk import DeskStatus
    from flipnb.contracts.document import parse
    from flipnb.contracts.keys import fingerprint
    from flipnb.contracts.study import Membership, Roster
    from flipnb.link.desk import desk

    try:
        sealed_roster = roster_file.read_bytes()
    except FileNotFoundError:
        raise FlipError("no-file", f"There is no file {roster_file}.") from None
    roster = parse(Roster, envelope.peek(sealed_roster, "The roster"), "The roster")
    envelope.unseal(sealed_roster, envelope.ROSTER, roster.researcher_keys(), "The roster")
    with desk(enclave_directory(enclave)) as client:
        status = client.get("/status", DeskStatus)
        if not as_json:
            rows = [["researcher", r.name, fingerprint(r.public_key)] for r in roster.researchers]
            rows += [["Trust", t.title, fingerprint(t.public_key)] for t in roster.trusts]
            print_text("\n".join([f"Study {roster.study}", *study_words(roster)]))
            print_table(["", "name", "fingerprint"], rows)
        if compared is None:
            typer.confirm("Did you compare each fingerprint with its owner, by telephone or in person?", abort=True)
        elif compared != roster.digest():
            raise FlipError("other-roster", f"This roster's digest is {roster.digest()}, not the one you compared.")
        membership = Membership(roster=roster, trust=status.key, joined=datetime.now(UTC))
        sealed = envelope.seal(membership, envelope.MEMBERSHIP, controller_key(enclave, controller, passphrase_file))
        client.post_envelope("/memberships", sealed, Roster)
    if as_json:
        print_json({"study": roster.study, "roster": roster.digest(), "trust": status.trust})
    else:
        print(f"{status.title} has joined {roster.study}.")

"""``flip enclave``: the desk of a Trust's data controllers, in a terminal inside the enclave."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import typer

from flipnb.cli.controller_key import (
    ControllerOption,
    EnclaveOption,
    PassphraseOption,
    controller_key,
    enclave_controller,
    enclave_directory,
    passphrase_from,
)
from flipnb.cli.desk_text import policy_rows, show_log, show_request, state_of
from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly
from flipnb.contracts import envelope
from flipnb.contracts.approval import Approval, Decline
from flipnb.contracts.desk import (
    PARTS,
    AuditLines,
    AuditPage,
    DeskRuns,
    DeskStatus,
    Opening,
    RequestDetail,
    RequestList,
    RequestSummary,
)
from flipnb.contracts.document import load_json
from flipnb.contracts.keys import fingerprint
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import TRUST_WORDS
from flipnb.contracts.study import Trust
from flipnb.link.desk import DeskClient, desk, enclave_configuration, enclave_controllers
from flipnb.link.key_files import load_key
from flipnb.wording.audit import Entry, entry_sentence
from flipnb.wording.values import many

app = typer.Typer(help="For a Trust's data controller: what waits, what runs, what left.", no_args_is_help=True)

Digest = Annotated[str, typer.Argument(help="The bundle's digest; its first characters will do.")]


@app.command()
@speaks_plainly
def status(enclave: EnclaveOption = None, as_json: JsonOption = False) -> None:
    """Show this Trust's enclave: hub, estate, policy, sandbox."""
    with desk(enclave_directory(enclave)) as client:
        now = client.get("/status", DeskStatus)
    if as_json:
        print_json(now.model_dump(mode="json"))
        return
    rows: list[list[object]] = [
        ["Trust", f"{now.title} ({fingerprint(now.key)})"],
        ["hub", f"{now.hub} ({'reachable' if now.hub_reachable else 'not reachable'})"],
        ["estate version", now.estate_version or "none yet"],
        ["studies", ", ".join(now.studies) or "none"],
        ["environments", ", ".join(now.environments) or "none"],
        ["waiting / running", f"{now.waiting} / {now.running}"],
    ]
    rows.extend([f"sandbox: {name}", value] for name, value in now.sandbox.items())
    rows.extend(policy_rows(now.policy))
    print_table(["", ""], rows)


@app.command()
@speaks_plainly
def requests(
    every: Annotated[bool, typer.Option("--all", help="Those that were decided or are over, too.")] = False,
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what waits for the data controller."""
    with desk(enclave_directory(enclave)) as client:
        found = client.get(f"/requests{'?all=1' if every else ''}", RequestList).requests
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
    elif not found:
        print("Nothing waits.")
    else:
        print_table(
            ["bundle", "study", "title", "researcher", "state", "runs", "why"],
            [[i.bundle[:16], i.study, i.title, i.researcher, state_of(i), i.waiting_told, i.reason] for i in found],
        )


@app.command()
@speaks_plainly
def show(
    digest: Digest,
    enclave: EnclaveOption = None,
    controller: ControllerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a request whole: who asks and why, which people, what is seen and leaves, everything in words, the code.

    The enclave notes that you had it before you, which approving asks for.
    """
    with desk(enclave_directory(enclave)) as client:
        detail = client.get(f"/requests/{_whole(client, digest)}", RequestDetail)
        if as_json:
            print_json(detail.model_dump(mode="json"))
        else:
            show_request(detail)
        reader = _reader(client, controller)
        if reader is not None:
            _note_opened(client, detail.summary.bundle, reader)
        else:
            print("\nWho has read it? Say --controller NAME, or it can't be approved by --yes.", file=sys.stderr)


@app.command()
@speaks_plainly
def approve(
    digest: Digest,
    executions: Annotated[
        int | None, typer.Option(help="How many runs may start; without it as many as wait, at least 1.")
    ] = None,
    days: Annotated[int, typer.Option(help="For how many days it holds.")] = 7,
    yes: Annotated[bool, typer.Option("--yes", help="You have read it (`flip enclave show`); do not ask.")] = False,
    enclave: EnclaveOption = None,
    controller: ControllerOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a bundle, with the controller's own key, for this policy and this estate version.

    Where the policy demands two controllers, nothing runs before the other has approved it, too.
    """
    with desk(enclave_directory(enclave)) as client:
        detail = client.get(f"/requests/{_whole(client, digest)}", RequestDetail)
        now = client.get("/status", DeskStatus)
        executions = detail.summary.executions_asked if executions is None else executions
        reader = enclave_controller(enclave_directory(enclave), controller).name
        if yes:
            _require_opened(detail, reader)
        else:
            show_request(detail)
            _note_opened(client, detail.summary.bundle, reader)
            waiting = detail.summary.waiting_told
            typer.confirm(
                f"Approve it for {many(executions, 'run')} ({waiting}) within {many(days, 'day')}?", abort=True
            )
        approval = Approval.of_request(detail, trust=now.key, executions=executions, days=days, now=datetime.now(UTC))
        sealed = envelope.seal(approval, envelope.APPROVAL, controller_key(enclave, controller, passphrase_file))
        summary = client.post_envelope("/approvals", sealed, RequestSummary)
    if as_json:
        approved = {"bundle": summary.bundle, "executions": executions, "expires": approval.expires}
        by = [given.controller for given in summary.approvals]
        print_json({**approved, "state": summary.state, "approvals": by, "demanded": summary.approvals_demanded})
    elif summary.state != "approved":
        print(f"{summary.bundle[:16]} at {now.title}: {summary.standing}. Nothing runs before another controller's.")
    else:
        print(f"{now.title} has approved {summary.bundle[:16]} for {many(executions, 'run')}.")


@app.command()
@speaks_plainly
def decline(
    digest: Digest,
    reason: Annotated[str, typer.Option(help="For the researcher.")],
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decline a bundle."""
    with desk(enclave_directory(enclave)) as client:
        whole = _whole(client, digest)
        client.post("/declines", Decline(bundle=whole, reason=reason).to_bytes())
    print_json({"bundle": whole, "reason": reason}) if as_json else print(f"Declined {whole[:16]}.")


@app.command()
@speaks_plainly
def controllers(enclave: EnclaveOption = None, as_json: JsonOption = False) -> None:
    """Show the data controllers of this Trust, and the fingerprints of their keys."""
    found = enclave_controllers(enclave_directory(enclave))
    if as_json:
        print_json([controller.model_dump(mode="json") for controller in found])
    else:
        print_table(["name", "fingerprint"], [[c.name, fingerprint(c.public_key)] for c in found])


@app.command()
@speaks_plainly
def add_controller(
    name: Annotated[str, typer.Argument(help="Lower case letters, digits, hyphens.")],
    enclave: EnclaveOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a data controller, who types a passphrase of their own and may decide at once."""
    from flipnb.enclave.setup import add_controller
    from flipnb.enclave.stores.configuration import EnclaveDirectory

    directory = EnclaveDirectory.open(enclave_directory(enclave))
    passphrase = passphrase_from(passphrase_file, f"A passphrase of {name}'s own", new=True)
    controller = add_controller(directory, name, passphrase)
    if as_json:
        print_json(controller.model_dump(mode="json"))
    else:
        print(f"{controller.name} may decide here, with the key {fingerprint(controller.public_key)}.")


@app.command()
@speaks_plainly
def remove_controller(
    name: Annotated[str, typer.Argument(help="As `flip enclave controllers` shows it.")],
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a data controller, whose approvals and memberships count no more."""
    from flipnb.enclave.setup import remove_controller
    from flipnb.enclave.stores.configuration import EnclaveDirectory

    void = remove_controller(EnclaveDirectory.open(enclave_directory(enclave)), name)
    if as_json:
        print_json({"removed": name, "join_again": list(void)})
        return
    print(f"{name} decides here no more. What they had approved counts no more.")
    if void:
        print(f"Another controller has to join again, with `flip study join`: {', '.join(void)}.")


@app.command()
@speaks_plainly
def runs(enclave: EnclaveOption = None, as_json: JsonOption = False) -> None:
    """Show the runs at this Trust."""
    with desk(enclave_directory(enclave)) as client:
        found = client.get("/runs", DeskRuns).runs
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
    else:
        print_table(
            ["run", "study", "title", "state", "started", "why"],
            [[i.run, i.study, i.title, TRUST_WORDS[i.state], i.started, i.reason] for i in found],
        )
        for one in found:
            for images in one.images:
                print_text(f"{one.run[:8]}: {images.words}.")


@app.command()
@speaks_plainly
def stop(
    run: Annotated[str, typer.Argument(help="The run's id.")],
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a run at this Trust."""
    with desk(enclave_directory(enclave)) as client:
        client.post(f"/runs/{run}/stop")
    print_json({"run": run, "stopped": True}) if as_json else print(f"Stopped {run} here.")


@app.command()
@speaks_plainly
def audit(
    after: Annotated[int, typer.Option(help="With --all and --json: only entries from this index on.")] = 0,
    everything: Annotated[
        bool, typer.Option("--all", help="Each entry, the oldest first, not a run in a line.")
    ] = False,
    group: Annotated[str, typer.Option(help="all, left, refused, decisions or looks.")] = "all",
    enclave: EnclaveOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the audit log in sentences, the newest first, a run in one line, and its tree head (RFC 6962)."""
    with desk(enclave_directory(enclave)) as client:
        if not everything and not as_json:
            found = client.get(f"/audit/lines?group={quote(group)}", AuditLines)
            show_log(found.lines)
            print(f"{found.size} entries, tree head {found.head}")
            return
        page = client.get(f"/audit?after={after}", AuditPage)
        entries = list(page.entries)
        while page.entries and after + len(entries) < page.size:
            page = client.get(f"/audit?after={after + len(entries)}", AuditPage)
            entries += page.entries
    if as_json:
        print_json({"entries": [load_json(entry.encode(), "An entry") for entry in entries], "head": page.head})
        return
    for entry in map(Entry.of, entries):
        print_text(f"{entry.index}  {entry.at:%Y-%m-%d %H:%M}  {entry_sentence(entry.kind, entry.details)}")
    print(f"{page.size} entries, tree head {page.head}")


@app.command()
@speaks_plainly
def card(enclave: EnclaveOption = None, as_json: JsonOption = False) -> None:
    """Print this Trust's name and node key, for the researcher's list of Trusts."""
    configuration = enclave_configuration(enclave_directory(enclave))
    public_key = load_key(enclave_directory(enclave) / "keys" / "node.pem").public_key
    trust = Trust(name=configuration["name"], title=configuration["title"], public_key=public_key)
    print_json(trust.model_dump(mode="json"))
    if not as_json:
        print(f"Fingerprint, to be compared by telephone: {fingerprint(public_key)}", file=sys.stderr)


@app.command()
@speaks_plainly
def doctor(enclave: EnclaveOption = None, as_json: JsonOption = False) -> None:
    """Check an enclave and say what to mend; exit code 1 where something is wrong."""
    from flipnb.enclave.agent.doctor import examine

    findings = examine(enclave_directory(enclave))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [["ok" if f.good else "WRONG", f.what, f"{f.detail} {f.remedy}".strip()] for f in findings]
        print_table(["", "check", "found"], rows)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


@app.command()
@speaks_plainly
def recover(
    restored: Annotated[
        bool,
        typer.Option("--restored", help="The whole enclave was put back from a backup: take all as spent since then."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    enclave: EnclaveOption = None,
    controller: ControllerOption = None,
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare what of an enclave is lost for good, while its agent is down: what nobody vouches for counts as spent.

    Restore from your newest backup first; only what that can't bring back is lost.
    """
    from flipnb.enclave.recovery import Consequences, declaration, recover
    from flipnb.enclave.stores.configuration import EnclaveDirectory

    directory = EnclaveDirectory.open(enclave_directory(enclave))
    if directory.recovery.exists():
        done = recover(directory)
    else:
        loss = declaration(directory, restored=restored)
        if not as_json:
            for file in loss.files:
                print(f"{file.name}: {file.fault}")
            for sentence in Consequences.of(loss).told():
                print(sentence)
        if not yes:
            typer.confirm("Is it lost for good?", abort=True)
        done = recover(
            directory, envelope.seal(loss, envelope.LOSS, controller_key(enclave, controller, passphrase_file))
        )
    if as_json:
        print_json(asdict(done))
    else:
        print("Done; it is in the audit log. Start the agent.")


def _reader(client: DeskClient, controller: str | None) -> str | None:
    """Who reads: the one that is named, else the only one that there is; None where several are."""
    known = client.get("/status", DeskStatus).controllers
    return controller or (known[0] if len(known) == 1 else None)


def _note_opened(client: DeskClient, bundle: str, controller: str) -> None:
    for part in PARTS:
        client.post(f"/requests/{bundle}/opened", Opening(controller=controller, part=part).to_bytes())


def _require_opened(detail: RequestDetail, controller: str) -> None:
    opened = {one.part for one in detail.opened if one.controller == controller}
    if opened < set(PARTS):
        raise FlipError(
            "not-opened",
            f"{controller} has not read this request yet; nothing was approved.",
            remedy=f"flip enclave show {detail.summary.bundle[:16]}",
        )


def _whole(client: DeskClient, start: str) -> str:
    """The one known digest that begins with ``start``."""
    if len(start) == 64:
        return start
    known = [r.bundle for r in client.get("/requests?all=1", RequestList).requests if r.bundle.startswith(start)]
    if len(known) != 1:
        raise FlipError("unknown-bundle", f"{len(known)} requests here begin with {start!r}.")
    return known[0]

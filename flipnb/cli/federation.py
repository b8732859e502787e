"""``flip up``, ``flip status``, ``flip down``: the federations on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly

_NOT_UP = 3

Directory = Annotated[
    Path | None,
    typer.Option("--directory", help="The federation's folder. Without it: build/demo to start one, else all."),
]


@speaks_plainly
def up(directory: Directory = None, as_json: JsonOption = False) -> None:
    """Start a federation: one that `make demo` or `make lab` made, or your own (docs/operator.md)."""
    from flipnb.demo import federation

    now = federation.up((directory or federation.default_directory()).absolute())
    print_json(now) if as_json else _print_daemons(now)


@speaks_plainly
def down(
    directory: Directory = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="All of yours, wherever they lie, not only those of this folder.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the federations that lie in this folder or were started from it."""
    from flipnb.demo import federation

    known = _known(directory)
    chosen = [one for one, here in known if here or everywhere]
    stopped = [str(one) for one in chosen if federation.down(one)]
    if as_json:
        print_json({"stopped": stopped})
        return
    if quiet:
        return
    for one in stopped:
        print_text(f"Stopped {one}.")
    others = [str(one) for one, _ in known if one not in chosen and federation.status(one)["up"]]
    if not stopped:
        print("Nothing was up." if not others else "Nothing of this folder was up.")
    for one in others:
        print_text(f"Up elsewhere: {one}. `flip down --directory {one}` stops it, `flip down --all` stops all.")


@speaks_plainly
def status(directory: Directory = None, as_json: JsonOption = False) -> None:
    """Show your federations and their daemons; exit code 3 where none is up."""
    from flipnb.demo import federation

    found = [federation.status(one) for one, _ in _known(directory)]
    any_up = any(now["up"] for now in found)
    if as_json:
        print_json(found[0] if directory is not None else {"up": any_up, "federations": found})
    elif directory is not None:
        _print_daemons(found[0])
    else:
        _print_all(found)
    if not any_up:
        raise typer.Exit(_NOT_UP)


def _known(directory: Path | None) -> list[tuple[Path, bool]]:
    """Folders of federations, and whether each is one of the current folder; with ``directory`` that alone."""
    from flipnb.demo.registry import known_federations

    if directory is not None:
        return [(directory.absolute(), True)]
    return [(known.directory, known.belongs_to(Path.cwd())) for known in known_federations()]


def _print_all(found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        print(
            "No federation is known here. `make demo` and `make lab` make one; docs/operator.md says how your own are."
        )
        return
    for now in found:
        print_text(now["directory"])
        _print_daemons(now)
        print()


def _print_daemons(now: Mapping[str, Any]) -> None:
    if now["up"]:
        rows = [[name, d["state"], d["pid"], d["restarts"], d["log"]] for name, d in now["daemons"].items()]
        print_table(["daemon", "state", "process", "restarts", "log"], rows)
    elif now["died"]:
        print_text("Not up: it was not stopped, its supervisor died. See supervisor.log; `flip up` starts it again.")
    else:
        print("Not up.")

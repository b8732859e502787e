"""A bundle's content as the files that it was made of: what somebody needs to read it, or to send it again."""

from __future__ import annotations

import json
from pathlib import Path

from flipnb.contracts.bundle import Bundle
from flipnb.workbench.bundles_plan import plan_of_bundle, plan_text
from flipnb.workbench.hub_client import HubClient

_NAMELESS = "notebook"


def write_definition(hub: HubClient, bundle: Bundle, directory: Path) -> None:
    """``NAME.ipynb``, ``NAME.flip.json``, ``NAME.cohort.json`` and the attached files, into ``directory``.

    They are as the Trusts approved them: no output, all Trusts that may take part. The plan names the weights that the
    run began with, so that a notebook sent from here begins with the same.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stem = Path(bundle.notebook_name).stem or _NAMELESS
    plan = plan_of_bundle(bundle, f"{stem}.cohort.json")
    (directory / f"{stem}.flip.json").write_text(plan_text(plan))
    contents = {f"{stem}.ipynb": bundle.notebook.to_nbformat("python3"), f"{stem}.cohort.json": bundle.cohort}
    for name, content in contents.items():
        (directory / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    for file in bundle.files:
        hub.save_blob(file.sha256, directory / file.name)

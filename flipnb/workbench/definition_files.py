"""A bundle's content as the files that it was made of: what somebody needs to read it, or to send it again."""

from __future__ import annotations

import json
from pathlib import Path

from flipnb.contracts.bundle import Bundle
from flipnb.workbench.hub_client import HubClient
from flipnb.workbench.plan_file import PlanFile

_NAMELESS = "notebook"


def write_definition(hub: HubClient, bundle: Bundle, directory: Path) -> None:
    """``NAME.ipynb``, ``NAME.flip.json``, ``NAME.cohort.json`` and the attached files, into ``directory``.

    They are as the Trusts approved them: no output, all Trusts that may take part. The plan names the weights that the
    run began with, so that a notebook sent from here begins with the same.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stem = Path(bundle.notebook_name).stem or _NAMELESS
    plan = PlanFile(
        title=bundle.title,
        cohort=f"{stem}.cohort.json",
        dataset=bundle.dataset,
        split=bundle.split,
        outputs=bundle.outputs,
        totals=bundle.totals,
        plan=bundle.plan,
        minimum_trusts=bundle.minimum_trusts,
        start_from=bundle.initial_weights,
        files=tuple(file.name for file in bundle.files),
    )
    contents = {
        f"{stem}.ipynb": bundle.notebook.to_nbformat("python3"),
        f"{stem}.flip.json": plan.model_dump(mode="json", exclude_none=True),
        f"{stem}.cohort.json": bundle.cohort,
    }
    for name, content in contents.items():
        (directory / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    for file in bundle.files:
        hub.save_blob(file.sha256, directory / file.name)

"""What the desk says, as text: a request, a Trust's policy, pages of the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from flipnb.cli.terminal import print_table, print_text
from flipnb.contracts.desk import RequestDetail, RequestSummary
from flipnb.contracts.document import load_json
from flipnb.contracts.keys import fingerprint
from flipnb.contracts.policy import Policy


def show_request(detail: RequestDetail) -> None:
    """Print a request whole: what would leave, how much a run can tell, parameters and cells."""
    bundle, summary = detail.content, detail.summary
    count = "unknown" if detail.count is None else detail.count
    print_text(f"{bundle.title}\nBundle {summary.bundle}, study {bundle.study}, state {state_of(summary)}")
    print_text(f"Researcher: {summary.researcher} ({fingerprint(summary.researcher_key)})")
    print_text(f"People in the cohort here: {count} (estate version {detail.estate_version})")
    print_text(f"Rounds: {bundle.plan.rounds} of {bundle.plan.strategy.name}; valid until {bundle.expires}")
    print("\nWhat would leave:")
    for line in detail.what_leaves:
        print_text(f"  {line}")
    print("\nHow much one run can tell:")
    print_text(f"  {detail.caution}")
    print_text(f"  {detail.bits_told}")
    rows = [
        [told.name, f"{told.bits:,}", told.what + (" (counted)" if told.counted else "")] for told in detail.channels
    ]
    print_table(["channel", "bits, at most", "what it is"], rows)
    print("\nParameters:")
    for p in bundle.parameters:
        bounds = f"one of {list(p.choices)}" if p.choices else f"{p.minimum} to {p.maximum}"
        fixed = p.minimum is None and p.maximum is None and not p.choices
        print_text(f"  {p.name}: {p.type} = {p.default}  ({'fixed' if fixed else bounds})  {p.help}")
    for number, cell in enumerate(bundle.notebook.cells, 1):
        print_text(f"\n--- cell {number}, {cell.type} {' '.join(cell.tags)}\n{cell.source}")


def folded(entries: Sequence[str]) -> list[tuple[str, int]]:
    """The entries, of each run's reports of progress the last alone, with the number of earlier ones."""
    kept: list[tuple[str, int]] = []
    told = Counter(run for entry in entries if (run := _progress_of(entry)) is not None)
    left = told.copy()
    for entry in entries:
        run = _progress_of(entry)
        if run is not None:
            left[run] -= 1
        if run is None or left[run] == 0:
            kept.append((entry, told[run] - 1 if run is not None else 0))
    return kept


def _progress_of(entry: str) -> str | None:
    """The run whose progress an entry is a report of."""
    found = load_json(entry.encode(), "An entry")
    return str(found["details"]["run"]) if found["kind"] == "progress-told" else None


def policy_rows(policy: Policy) -> list[list[object]]:
    """Each field of a policy and its value, those within another by both names."""
    rows: list[list[object]] = []
    for name, value in policy.model_dump(mode="json").items():
        if isinstance(value, dict):
            rows.extend([f"policy: {name}.{inner}", said] for inner, said in value.items())
        else:
            rows.append([f"policy: {name}", value])
    return rows


def state_of(summary: RequestSummary) -> str:
    several = summary.approvals_demanded > 1 and summary.state == "waiting"
    return f"{summary.state}, {summary.standing}" if several else summary.state

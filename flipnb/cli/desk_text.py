"""What the desk says, as text: a request, a Trust's policy, the audit log."""

from __future__ import annotations

from collections.abc import Iterable

from flipnb.cli.terminal import print_table, print_text
from flipnb.contracts.brief import Sentence
from flipnb.contracts.desk import AuditLine, RequestDetail, RequestSummary
from flipnb.contracts.policy import Policy
from flipnb.wording.attached import file_lines


def show_request(detail: RequestDetail) -> None:
    """Print a request whole: its brief, everything of it in words, and its code."""
    summary = detail.summary
    print_text(f"{detail.content.title}\nBundle {summary.bundle}, {state_of(summary)}")
    show_brief(detail)
    for section in detail.brief.everything:
        print_text(f"\n{section.title.upper()}")
        _sentences(section.sentences)
    show_code(detail)


def show_brief(detail: RequestDetail) -> None:
    """Print a request on one page, as the desk and the approval page show it."""
    brief = detail.brief
    print("\nWHO")
    _sentences(brief.who)
    print_text(f"\nWHY\n  {brief.why}\n\nPEOPLE\n  {brief.people.text}")
    print("\nSINCE THE LAST APPROVAL")
    _sentences(brief.since)
    print("\nSEES")
    rows = [["!" if row.may_be_later else "", row.name, row.label, row.what, row.window] for row in brief.sees]
    print_table(["", "variable", "label", "what it is", "which record"], rows)
    _sentences(brief.beside)
    print("\nTRAINING")
    _sentences(brief.training)
    print("\nLEAVES")
    leaves = [
        [row.name, row.times, row.what + (" (counted)" if row.counted else ""), f"{row.bits:,}"] for row in brief.leaves
    ]
    print_table(["what leaves", "how often", "what it is", "bits, at most"], leaves)
    print_text(f"  {brief.caution}\n  {detail.bits_told}")
    print("\nFLAGS")
    print_text("\n".join(f"  ! {flag}" for flag in brief.flags) or "  None.")
    print_text(f"\nWAITING\n  {brief.waiting}")


def show_code(detail: RequestDetail) -> None:
    """Print every cell of a request's notebook, and every module that goes with it."""
    for number, cell in enumerate(detail.content.notebook.cells, 1):
        print_text(f"\n--- cell {number}, {cell.type} {' '.join(cell.tags)}\n{cell.source}")
    for shown in detail.files:
        if shown.kind == "module":
            print_text("\n".join([f"\n--- {shown.file.name}", *file_lines(shown)]))
    if detail.changes.since is not None:
        show_changed_files(detail)


def show_changed_files(detail: RequestDetail) -> None:
    """Print how a request's modules and weights differ from those of the last approval, line by line."""
    marks = {"both": " ", "new": "+", "earlier": "-"}
    for file in detail.changes.files:
        if file.kind in ("changed", "removed"):
            print_text(f"\n--- {file.name}, {'gone' if file.kind == 'removed' else 'changed'} since the last approval")
            print_text("\n".join(f"{marks[line.mark]} {line.text}" for line in file.lines))


def _sentences(sentences: Iterable[Sentence], depth: int = 1) -> None:
    for sentence in sentences:
        print_text(f"{'  ' * depth}{sentence.text}")
        _sentences(sentence.parts, depth + 1)


def show_log(lines: Iterable[AuditLine]) -> None:
    """Print lines of the audit log, in their order."""
    for line in lines:
        more = f"  ({line.entries} entries)" if line.entries > 1 else ""
        print_text(f"{line.at:%Y-%m-%d %H:%M}  {line.text}{more}")


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

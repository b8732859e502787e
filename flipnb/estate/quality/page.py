"""The quality report as one page that needs nothing else: no script, no network; every text from the estate escaped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape

from flipnb.estate.quality.findings import Finding, QualityReport

_CATEGORIES = ("conformance", "completeness", "plausibility")
_MEANINGS = {
    "conformance": "Do the rows obey the CDM: types, keys, domains, required values?",
    "completeness": "Is what should be there, there, and mapped to a standard concept?",
    "plausibility": "Can it be true of people: values, dates, the order of things?",
}
_STYLE = """
:root { --ink: #1d2733; --soft: #5b6b7c; --line: #dfe5ec; --paper: #ffffff; --ground: #f4f6f9; --pass: #1a7f4b;
  --fail: #b3261e; --bar: #2f6fb2; --tint: #e8eff7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf1; --soft: #9aa9b9; --line: #2f3a46; --paper: #1a212a;
  --ground: #12171d; --pass: #58c48a; --fail: #ff8a80; --bar: #6aa9e9; --tint: #22303f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 40px 0 12px; }
.about { color: var(--soft); margin: 0 0 24px; } code { font: 13px/1.4 ui-monospace, monospace; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 16px; }
.card, .panel { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
.card b { display: block; font-size: 30px; line-height: 1.2; }
.card p { margin: 6px 0 0; color: var(--soft); font-size: 13px; }
.meter { height: 8px; border-radius: 4px; background: var(--tint); margin-top: 10px; overflow: hidden; }
.meter i { display: block; height: 100%; background: var(--pass); }
.meter.failing { background: var(--fail); }
td.name { white-space: nowrap; } td.what { min-width: 240px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: 6px 10px 6px 0; }
td { border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; padding-left: 10px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.status { font-weight: 600; white-space: nowrap; }
.fail { color: var(--fail); } .pass { color: var(--pass); } .note { color: var(--soft); }
details { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; }
details { margin: 0 0 10px; padding: 0 18px; }
summary { cursor: pointer; padding: 12px 0; font-weight: 600; }
summary span { color: var(--soft); font-weight: 400; margin-left: 10px; }
.scroll { overflow-x: auto; padding-bottom: 12px; }
.years { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 16px; }
.years h3 { font-size: 14px; margin: 0 0 8px; } svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 11px; } svg rect { fill: var(--bar); }
"""


def page(report: QualityReport) -> str:
    """The whole HTML document."""
    failed = sorted(report.failed, key=lambda finding: (_CATEGORIES.index(finding.category), -finding.share))
    judged = [finding for finding in report.findings if finding.allowed is not None]
    state = f"{len(failed)} of {len(judged)} checks failed" if failed else f"all {len(judged)} checks passed"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Data quality: {escape(report.version or "estate")}</title><style>{_STYLE}</style></head><body><main>
<h1>Data quality of the estate: {state}</h1>
<p class="about">Version <code>{escape(report.version or "not numbered")}</code>, {report.people:,} people,
{sum(report.rows.values()):,} rows, checked on {report.day.isoformat()}. Exact numbers, for inside the Trust only.</p>
<section class="cards">{"".join(_card(name, judged) for name in _CATEGORIES)}</section>
<h2>What failed</h2>{_failures(failed)}
<h2>Rows by year</h2><section class="years">{"".join(_years(*one) for one in report.years.items())}</section>
<h2>Table by table</h2>
<p class="about">A note is told and not judged: how much is right depends on the source.</p>
{"".join(_table(name, report) for name in _names(report))}
</main></body></html>
"""


def _names(report: QualityReport) -> list[str]:
    """Tables in the order of their rows' checks."""
    return list(dict.fromkeys(finding.table for finding in report.findings))


def _card(category: str, judged: Iterable[Finding]) -> str:
    own = [finding for finding in judged if finding.category == category]
    passed = sum(finding.status == "pass" for finding in own)
    share = passed / len(own) if own else 1.0
    failing = " failing" if passed < len(own) else ""
    label = f'role="img" aria-label="{_percent(share)} passed"'
    return (
        f'<div class="card"><span>{category.capitalize()}</span><b>{_percent(share)}</b>'
        f"{passed} of {len(own)} checks passed"
        f'<div class="meter{failing}" {label}><i style="width:{share:.1%}"></i></div>'
        f"<p>{_MEANINGS[category]}</p></div>"
    )


def _failures(failed: list[Finding]) -> str:
    if not failed:
        return '<p class="panel">Nothing.</p>'
    rows = "".join(_row(finding, table=True) for finding in failed)
    return f'<div class="panel scroll"><table>{_head(table=True)}<tbody>{rows}</tbody></table></div>'


def _table(name: str, report: QualityReport) -> str:
    own = [finding for finding in report.findings if finding.table == name]
    order = {"fail": 0, "pass": 1, "note": 2}
    own.sort(key=lambda finding: (order[finding.status], _CATEGORIES.index(finding.category)))
    counts: dict[str, int] = defaultdict(int)
    for finding in own:
        counts[finding.status] += 1
    said = (
        f"{report.rows.get(name, 0):,} rows, {counts['fail']} failed, {counts['pass']} passed, {counts['note']} notes"
    )
    rows = "".join(_row(finding, table=False) for finding in own)
    return (
        f"<details><summary>{escape(name)}<span>{said}</span></summary>"
        f'<div class="scroll"><table>{_head(table=False)}<tbody>{rows}</tbody></table></div></details>'
    )


def _head(*, table: bool) -> str:
    first = "<th>Table</th>" if table else ""
    return (
        f'<thead><tr><th></th>{first}<th>Field</th><th>Check</th><th>What is expected</th><th class="n">Violated</th>'
        '<th class="n">Of</th><th class="n">Share</th><th class="n">Allowed</th></tr></thead>'
    )


def _row(finding: Finding, *, table: bool) -> str:
    allowed = "" if finding.allowed is None else _percent(finding.allowed)
    example = f" (for example {escape(finding.example)})" if finding.example and finding.violated else ""
    first = f'<td class="name">{escape(finding.table)}</td>' if table else ""
    return (
        f'<tr><td class="status {finding.status}">{finding.status}</td>{first}'
        f'<td class="name">{escape(finding.field or "")}</td>'
        f'<td class="name">{escape(finding.check)}</td><td class="what">{escape(finding.meaning)}{example}</td>'
        f'<td class="n">{finding.violated:,}</td><td class="n">{finding.total:,}</td>'
        f'<td class="n">{_percent(finding.share)}</td><td class="n">{allowed}</td></tr>'
    )


def _years(name: str, years: dict[int, int]) -> str:
    """Bars, one per year from the first to the last."""
    first, last, most = min(years), max(years), max(years.values())
    width = 300 / (last - first + 1)
    bars = "".join(
        f'<rect x="{(year - first) * width:.2f}" y="{90 - 76 * count / most:.2f}" width="{max(width - 0.6, 0.4):.2f}" '
        f'height="{76 * count / most:.2f}"><title>{year}: {count:,} rows</title></rect>'
        for year, count in years.items()
    )
    return (
        f'<div class="panel"><h3>{escape(name)}</h3><svg viewBox="0 0 300 106" role="img" '
        f'aria-label="{escape(name)}: rows from {first} to {last}, at most {most:,} in a year">{bars}'
        f'<text x="300" y="8" text-anchor="end">at most {most:,} in a year</text>'
        f'<text x="0" y="104">{first}</text><text x="300" y="104" text-anchor="end">{last}</text></svg></div>'
    )


def _percent(share: float) -> str:
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{share:.0%}".replace("%", " %") if share in (0, 1) else f"{share * 100:.3g} %"

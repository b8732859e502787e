"""A funnel in a terminal: a row for each rule by its name, a column for each Trust, all Trusts together."""

from __future__ import annotations

import types

from flipnb.cli import cohort as cli
from flipnb.contracts.count import CountReply, Step
from flipnb.workbench.counting import TrustCount

COHORT = {"InclusionRules": [{"name": "Adults"}, {"name": "With chest pain"}]}


def told(title, *people):
    steps = [Step(rules=rules, people=number) for rules, number in enumerate(people)]
    reply = CountReply(
        trust="c" * 64, request="0" * 64, threshold=10, people=people[-1] if people else None, funnel=steps
    )
    return TrustCount(types.SimpleNamespace(title=title), reply)


def test_rules_are_named_and_trusts_added_up(capsys):
    cli._print_funnel(COHORT, [told("Cleveland", 300, 280, 1200), told("Hungary", 320, 300, None)])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "rule Cleveland Hungary all" in lines
    assert "enter ≈ 300 ≈ 320 ≈ 620" in lines
    assert "1 Adults ≈ 280 ≈ 300 ≈ 580" in lines
    assert "2 With chest pain ≈ 1,200 <10 at least ≈ 1,200" in lines
    assert lines[-1] == "<: fewer, or not answered in time; such Trusts are not in all."


def test_a_trust_that_is_silent_is_missing_in_every_total(capsys):
    silent = TrustCount(types.SimpleNamespace(title="Long Beach"), None)
    cli._print_funnel(COHORT, [told("Cleveland", 300, 280, 120), silent])
    out = capsys.readouterr().out
    assert "Long Beach" not in out and out.count("at least ≈") == 3
    cli._print_funnel(COHORT, [told("Cleveland"), silent])
    assert capsys.readouterr().out == ""

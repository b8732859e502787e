"""The ledger: what was paid for is free, what is spent stays spent, and a refusal is the ledger's word alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flipnb.contracts.policy import CountPolicy
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.ledger import Ledger, Took

POLICY = CountPolicy(budget=10, budget_per_study=6, period_days=100)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


def left(ledger, study, **named):
    return ledger.budget(study, POLICY, now=named.get("now", NOW)).left


def test_a_question_is_paid_for_once(path):
    ledger = Ledger(path)
    assert ledger.charge("one", "v1", {"a": 1, "b": 2}, POLICY, now=NOW).cost == 3
    assert ledger.charge("two", "v1", {"a": 1, "b": 2}, POLICY, now=NOW).cost == 0
    assert ledger.charge("two", "v1", {"a": 1, "c": 1}, POLICY, now=NOW).cost == 1
    assert (left(ledger, "one"), left(ledger, "two"), left(ledger, "three")) == (3, 5, 6)


def test_a_new_estate_version_renews_nothing(path):
    ledger = Ledger(path)
    ledger.charge("one", "v1", {"a": 1}, POLICY, now=NOW)
    again = ledger.charge("one", "v2", {"a": 1}, POLICY, now=NOW)
    assert (again.cost, again.left) == (1, 4)


def test_other_noise_is_another_draw_and_is_weighed(path):
    ledger = Ledger(path)
    ledger.charge("one", "v1", {"a": 4}, POLICY, now=NOW)
    quieter = POLICY.model_copy(update={"noise": 5.0, "budget_per_study": 10})
    assert ledger.budget("one", quieter, now=NOW).left == 9  # told with twice the noise, it gave a quarter away
    assert ledger.charge("one", "v1", {"a": 4}, quieter, now=NOW).left == 5
    louder = POLICY.model_copy(update={"budget": 100, "budget_per_study": 100})
    assert ledger.budget("one", louder, now=NOW).left == 100 - 4 - 16


def test_spending_survives_a_restart_and_a_refusal_changes_nothing(path):
    ledger = Ledger(path)
    ledger.charge("one", "v1", {"a": 5}, POLICY, now=NOW)
    with pytest.raises(FlipError) as caught:
        ledger.charge("one", "v1", {"b": 1, "c": 1}, POLICY, now=NOW)
    assert caught.value.code == "budget-spent"
    ledger.keep("v1", "question", "policy", b"answer")
    ledger.close()
    ledger = Ledger(path)
    assert left(ledger, "one") == 1
    assert ledger.charge("one", "v1", {"b": 1}, POLICY, now=NOW).left == 0
    assert ledger.charge("one", "v1", {"a": 5}, POLICY, now=NOW).cost == 0
    assert ledger.answer("v1", "question", "policy") == b"answer"
    assert ledger.answer("v2", "question", "policy") is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_studies_together_cannot_spend_more_than_the_trusts_budget(path):
    ledger = Ledger(path)
    ledger.charge("one", "v1", {"a": 6}, POLICY, now=NOW)
    with pytest.raises(FlipError):
        ledger.charge("two", "v1", {"b": 5}, POLICY, now=NOW)
    ledger.charge("two", "v1", {"b": 4}, POLICY, now=NOW)
    assert left(ledger, "three") == 0
    assert ledger.left_to_all(POLICY.model_copy(update={"budget": 15}), now=NOW) == 5


def test_what_was_spent_comes_back_after_the_period(path):
    ledger = Ledger(path)
    ledger.charge("one", "v1", {"a": 4}, POLICY, now=NOW)
    ledger.charge("one", "v1", {"b": 1}, POLICY, now=NOW + timedelta(days=50))
    budget = ledger.budget("one", POLICY, now=NOW + timedelta(days=60))
    assert (budget.left, budget.renews) == (1, NOW + timedelta(days=100))
    assert left(ledger, "one", now=NOW + timedelta(days=101)) == 5
    assert left(ledger, "one", now=NOW + timedelta(days=151)) == 6
    # Its noise is drawn already: the same answer again gives nothing more away.
    assert ledger.charge("one", "v1", {"a": 4}, POLICY, now=NOW + timedelta(days=200)).cost == 0


def test_the_times_of_the_last_statements_are_kept_and_no_more(path):
    ledger = Ledger(path)
    for number in range(510):
        took = Took(NOW + timedelta(seconds=number), number / 1000, number % 2 == 0, 2.0)
        ledger.keep("v1", f"question {number}", "policy", b"answer", took)
    kept = ledger.times()
    assert len(kept) == 500
    assert (kept[0].seconds, kept[-1]) == (0.01, Took(NOW + timedelta(seconds=509), 0.509, False, 2.0))

"""What one Trust's card says against a notebook and its plan."""

from datetime import UTC, datetime

import pytest

from flipnb.contracts.bundle import Environment
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.plan import Plan
from flipnb.contracts.tensors import Tensor, TensorSpec
from flipnb.contracts.total import DeclaredArray, TotalStep
from flipnb.contracts.trust_card import Allowance, BuiltEnvironment, TrustCard
from flipnb.workbench.trust_checks import find_trust_issues
from flipnb.workbench.validation import Imported

LOCK = "1" * 64
ENVIRONMENT = Environment(name="built", lock=LOCK)
ALLOWANCE = Allowance(
    per_trust_metrics=False,
    individual_updates=False,
    minimum_trusts=2,
    minimum_train=10,
    maximum_clip_norm=10.0,
    maximum_integer_clip=2000,
    maximum_rounds=100,
    bits_per_run=2000,
)
OUTPUTS = (DeclaredOutput(name="loss", minimum=0, maximum=10, decimals=3),)
NUMPY = Imported("numpy", 2, 1)


def card(**changes):
    fields = {
        "trust": "2" * 64,
        "made": datetime.now(UTC),
        "data": datetime.now(UTC),
        "gpus": 0,
        "slots": 1,
        "environments": (BuiltEnvironment(name="built", lock=LOCK, distributions=("numpy", "pillow")),),
        "allowance": ALLOWANCE,
    }
    return TrustCard(**{**fields, **changes})


def test_a_run_of_one_trust_is_for_evaluations_where_the_policy_allows_it():
    allowing = card(allowance=ALLOWANCE.model_copy(update={"one_trust_runs": True}))
    assert found(allowing, minimum_trusts=1, rounds=0) == []
    (trained,) = found(allowing, minimum_trusts=1)
    assert trained.message == "Hungary takes part from 2 Trusts on; the plan asks for 1."
    (refused,) = found(minimum_trusts=1, rounds=0)
    assert refused.message.endswith("the plan asks for 1, which its policy does not allow (one_trust_runs).")


COUNTER = TensorSpec(tensors=(Tensor(name="seen", shape=(), dtype="int64"),))


SUMS = (TotalStep(arrays=(DeclaredArray(name="sums", minimum=0, maximum=1, decimals=0, shape=(7,)),)),)


def found(trust=None, *, imported=(NUMPY,), minimum_trusts=2, tensors=None, totals=(), attached=0, **plan):
    return list(
        find_trust_issues(
            "Hungary",
            trust or card(),
            plan=Plan(**{"rounds": 10, "clip_norm": 1.0, **plan}),
            outputs=OUTPUTS,
            totals=totals,
            tensors=tensors,
            minimum_trusts=minimum_trusts,
            environment=ENVIRONMENT,
            imported=imported,
            attached_bytes=attached,
        )
    )


def test_files_that_go_with_a_notebook_are_bounded_by_each_trusts_policy():
    taking = card(allowance=ALLOWANCE.model_copy(update={"attached_bytes": 1000}))
    assert found(taking, attached=1000) == []
    (larger,) = found(taking, attached=1001)
    assert larger.message == "Hungary takes 1,000 bytes of files with a notebook; these have 1,001."
    (earlier,) = found(card(), attached=1)
    assert earlier.code == "policy-refuses", "an agent of before there were such files says nothing of them"


def test_a_modules_import_is_told_by_the_module():
    (missing,) = found(imported=(NUMPY, Imported("torch", None, 3, "model.py")))
    assert (missing.message, missing.cell, missing.line) == ("model.py imports torch, which Hungary lacks.", None, 3)


def test_a_plan_that_fits_has_no_issue():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rounds": 101}, "allows 100 rounds; the plan has 101"),
        ({"clip_norm": 11.0}, "allows a clip norm of 10; the plan has 11"),
        ({"tensors": COUNTER, "integer_clip": 2001}, "allows an integer clip of 2000; the plan has 2001"),
        ({"minimum_trusts": 1}, "takes part from 2 Trusts on; the plan asks for 1"),
        ({"trust": card(allowance=ALLOWANCE.model_copy(update={"bits_per_run": 153}))}, "lets 153 bits of numbers out"),
        (
            {"trust": card(allowance=ALLOWANCE.model_copy(update={"bits_per_run": 160})), "totals": SUMS},
            "what is declared carries 161",
        ),
        ({"strategy": {"name": "FedMedian"}, "aggregation": "individual"}, "does not let single Trusts' updates out"),
        ({"trust": card(data=None)}, "has loaded no data yet"),
    ],
)
def test_what_the_policy_refuses_is_said_with_both_numbers(changes, words):
    (issue,) = found(**changes)
    assert issue.severity == "error"
    assert issue.trust == "2" * 64
    assert issue.message.startswith("Hungary ") and words in issue.message


def test_an_import_is_looked_up_by_the_distribution_that_brings_it():
    issues = found(imported=(NUMPY, Imported("PIL", 3, 1), Imported("xgboost", 4, 2)))
    assert [(issue.message, issue.cell, issue.line) for issue in issues] == [
        ("Imports xgboost, which Hungary lacks.", 4, 2)
    ]


def test_an_environment_that_is_not_built_there_is_named():
    (issue,) = found(card(environments=()))
    assert issue.message == "Hungary has not built the environment built that runs name."

"""What every template starts from: the variables of the demo's hospitals, and whom a new cohort takes in.

They are there so that a new notebook rehearses, and runs on the demo's records, at once; each template's text says
where one's own go. How a variable is declared in a plan is said here alone.
"""

from __future__ import annotations

from typing import Any

from flipnb import cohorts

STATUS = 2000000109
"""The concept of the demo's outcome: angiographic disease status, 0 is none."""


def age() -> dict[str, Any]:
    """Age in years at the cohort's start."""
    return {"name": "age", "source": "age", "minimum": 28, "maximum": 77, "label": "Age in years"}


def sex() -> dict[str, Any]:
    """Sex, as a gender concept."""
    categories = [{"concept_id": 8532, "label": "female"}, {"concept_id": 8507, "label": "male"}]
    return {"name": "sex", "source": "sex", "value": "concept", "categories": categories, "label": "Sex"}


def measured(name: str, concept: int, unit: str, minimum: float, maximum: float, label: str) -> dict[str, Any]:
    """A number measured by the index date, and what is plausible of it: the twin draws from that."""
    return {
        "name": name,
        "source": "measurement",
        "concept_id": concept,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "window": {"start_days": -30, "end_days": 0},
        "label": label,
    }


def pressure() -> dict[str, Any]:
    """Resting systolic blood pressure."""
    return measured("pressure", 2000000101, "mm[Hg]", 80, 200, "Resting systolic blood pressure")


def cholesterol() -> dict[str, Any]:
    """Serum cholesterol."""
    return measured("cholesterol", 2000000102, "mg/dL", 0, 603, "Serum cholesterol; 0 as recorded")


def heart_rate() -> dict[str, Any]:
    """The highest heart rate under exercise."""
    return measured("heart_rate", 2000000105, "/min", 60, 202, "Maximum heart rate achieved")


def depression() -> dict[str, Any]:
    """ST depression by exercise."""
    return measured("depression", 2000000107, "mm", -2.6, 6.2, "ST depression by exercise relative to rest")


def status() -> dict[str, Any]:
    """The demo's outcome."""
    found = measured("status", STATUS, "1", 0, 4, "Angiographic disease status: 0 is none")
    return found | {"role": "outcome", "window": {"start_days": 0, "end_days": 0}}


def training(rounds: int) -> dict[str, Any]:
    """The plan of a model that is trained in so many rounds, by the mean of what the hospitals learned."""
    return {
        "rounds": rounds,
        "strategy": {"name": "FedAvg"},
        "clip_norm": 100,
        "round_seconds": 60,
        "start_seconds": 300,
    }


def adults_on_their_first_angiography() -> cohorts.Definition:
    """Adults, from their first angiography on, with what the templates measure recorded before or on that day."""
    found = cohorts.concepts("Angiographic disease status: 0 is none", STATUS, descendants=False)
    return cohorts.enter(cohorts.measurement(found).value(at_least=0).first()).require(
        "Adult", cohorts.age(at_least=18)
    )

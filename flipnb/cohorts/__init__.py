"""Cohorts in Python, for people who don't use ATLAS: the same JSON, written by words.

    diabetes, metformin = concepts("Diabetes", 201826), concepts("Metformin", 1503297)
    definition = (
        enter(condition(diabetes).first(), prior_days=365)
        .require("Adult", age(at_least=18))
        .require("Treated within 90 days", drug(metformin).within(0, 90))
        .require("No insulin before", drug(insulin).within(None, -1).none())
        .leave_after(365)
    )
    flip.cohort(definition)

Days count from the start of the event by which people enter; None is as far as the observation period goes.
"""

from flipnb.cohorts.codes import Codes, concepts
from flipnb.cohorts.conditions import (
    Condition,
    Found,
    Group,
    Records,
    Who,
    age,
    all_of,
    any_of,
    at_least,
    at_most,
    sex,
)
from flipnb.cohorts.definition import Definition, enter
from flipnb.cohorts.domains import (
    condition,
    condition_era,
    death,
    device,
    drug,
    drug_era,
    image,
    measurement,
    observation,
    observation_period,
    procedure,
    specimen,
    text,
    visit,
)

__all__ = [
    "Codes",
    "Condition",
    "Definition",
    "Found",
    "Group",
    "Records",
    "Who",
    "age",
    "all_of",
    "any_of",
    "at_least",
    "at_most",
    "concepts",
    "condition",
    "condition_era",
    "death",
    "device",
    "drug",
    "drug_era",
    "enter",
    "image",
    "measurement",
    "observation",
    "observation_period",
    "procedure",
    "sex",
    "specimen",
    "text",
    "visit",
]

"""OHDSI's own test cases of its cohort compiler: small populations, definitions, and the rows that must come of them.

From OHDSI/circe-be, ``src/test/resources`` (``cohortgeneration``, ``corelatedcriteria``, ``datasets``), with the
changes that the tests of ``src/test/java`` make to the definitions; Apache License 2.0, Copyright Observational Health
Data Sciences and Informatics. Written here in fewer words: columns that no case reads are absent. Where circe tests
look for events in a table of their own (``corelatedcriteria``), a procedure on the same day takes its place.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from typing import Any

Rows = list[tuple[int, str, str]]
"""subject_id, cohort_start_date, cohort_end_date"""

VOCABULARY = {
    "concept": [
        {
            "concept_id": number,
            "concept_name": f"Concept {number}",
            "standard_concept": "S",
            "valid_start_date": "1900-01-01",
            "valid_end_date": "2099-01-01",
        }
        for number in (1, 2, 3, 4)
    ],
    "concept_ancestor": [
        {"ancestor_concept_id": ancestor, "descendant_concept_id": descendant}
        for ancestor, descendant in ((1, 2), (1, 3), (4, 4))
    ],
    "concept_relationship": [],
}


@dataclass
class Case:
    """A population, and definitions with the rows that each must give."""

    name: str
    tables: dict[str, list[dict[str, Any]]]
    cohorts: list[tuple[dict, Rows]] = field(default_factory=list)

    def gives(self, definition: dict, *rows: tuple[int, str, str]) -> Case:
        self.cohorts.append((deepcopy(definition), list(rows)))
        return self


_COLUMNS = {
    "condition_era": ("condition_concept_id", "condition_era_start_date", "condition_era_end_date"),
    "condition_occurrence": ("condition_concept_id", "condition_start_date", "condition_end_date"),
    "device_exposure": ("device_concept_id", "device_exposure_start_date", "device_exposure_end_date"),
    "drug_era": ("drug_concept_id", "drug_era_start_date", "drug_era_end_date"),
    "drug_exposure": ("drug_concept_id", "drug_exposure_start_date", "drug_exposure_end_date"),
    "measurement": ("measurement_concept_id", "measurement_date"),
    "observation": ("observation_concept_id", "observation_date"),
    "payer_plan_period": (None, "payer_plan_period_start_date", "payer_plan_period_end_date"),
    "procedure_occurrence": ("procedure_concept_id", "procedure_date"),
    "specimen": ("specimen_concept_id", "specimen_date"),
    "visit_occurrence": ("visit_concept_id", "visit_start_date", "visit_end_date"),
    "visit_detail": ("visit_detail_concept_id", "visit_detail_start_date", "visit_detail_end_date"),
}


def _people(count: int, start: str = "2000-01-01", end: str = "2001-01-01", gender: bool = False) -> dict[str, list]:
    numbers = range(1, count + 1)
    return {
        "person": [{"person_id": n, "gender_concept_id": n if gender else 0, "year_of_birth": 0} for n in numbers],
        "observation_period": [
            {"observation_period_id": n, "person_id": n, "observation_period_start_date": start,
             "observation_period_end_date": end}
            for n in numbers
        ],
    }  # fmt: skip


def _records(table: str, *rows: tuple[int, str], concept: int = 2, **more: Any) -> dict[str, list]:
    """Rows of (person, day) or (person, first day, last day), numbered from 1."""
    concept_column, *days = _COLUMNS[table]
    made = []
    for number, (person, *dates) in enumerate(rows, 1):
        row = {f"{table}_id": number, "person_id": person, **dict(zip(days, dates, strict=False)), **more}
        if concept_column is not None:
            row[concept_column] = concept
        made.append(row)
    return {table: made}


def _set(number: int, concept: int) -> dict:
    item = {"concept": {"CONCEPT_ID": concept, "CONCEPT_NAME": "", "INVALID_REASON": "V"}, "includeDescendants": True}
    return {"id": number, "name": "", "expression": {"items": [item]}}


def _definition(
    *criteria: dict, limit: str = "All", sets: tuple[dict, ...] = (_set(0, 1),), prior: int = 0, **more: Any
):
    definition = {
        "ConceptSets": list(sets),
        "PrimaryCriteria": {
            "CriteriaList": list(criteria),
            "ObservationWindow": {"PriorDays": prior, "PostDays": 0},
            "PrimaryCriteriaLimit": {"Type": limit},
        },
        "QualifiedLimit": {"Type": limit},
        "ExpressionLimit": {"Type": limit},
        "InclusionRules": [],
        "CensoringCriteria": [],
        "CollapseSettings": {"CollapseType": "ERA", "EraPadUnit": "day", "EraPadUnitValue": 0},
        "CensorWindow": {},
    }
    return {**definition, **more}


def _days(start: int | None, end: int | None) -> dict:
    """A window before the index, in days; None is any time."""

    def bound(days: int | None) -> dict:
        return {"Coeff": -1} if days is None else {"TimeUnitValue": days, "TimeUnit": "day", "Coeff": -1}

    return {"Start": bound(start), "End": bound(end), "UseEventEnd": False}


def _near(criterion: dict, window: dict, kind: int = 2, count: int = 1, **occurrence: Any) -> dict:
    return {
        "Criteria": criterion,
        "StartWindow": window,
        "Occurrence": {"Type": kind, "Count": count, **occurrence},
    }


def _group(*criteria: dict, kind: str = "ALL", groups: tuple[dict, ...] = ()) -> dict:
    return {"Type": kind, "CriteriaList": list(criteria), "DemographicCriteriaList": [], "Groups": list(groups)}


END = "2001-01-01"
CONDITION = {"ConditionOccurrence": {"CodesetId": 0}}
DRUG = {"DrugExposure": {"CodesetId": 0}}
PROCEDURE = {"ProcedureOccurrence": {"CodesetId": 0}}
MONTHLY = [(1, f"2000-{month:02}-01") for month in (1, 2, 3, 4, 8, 9, 10)]


def first_occurrence() -> Case:
    # The second person's records are of the first day, without 90 days of observation before.
    found = {
        "ConditionEra": ("condition_era", "2000-06-01", "2000-06-02"),
        "ConditionOccurrence": ("condition_occurrence", "2000-06-07"),
        "DeviceExposure": ("device_exposure", "2000-06-28"),
        "DrugEra": ("drug_era", "2000-07-01", "2000-08-01"),
        "DrugExposure": ("drug_exposure", "2000-07-01"),
        "Measurement": ("measurement", "2000-07-07"),
        "Observation": ("observation", "2000-07-14"),
        "ProcedureOccurrence": ("procedure_occurrence", "2000-07-21"),
        "Specimen": ("specimen", "2000-07-28"),
        "VisitOccurrence": ("visit_occurrence", "2000-07-05", "2000-07-12"),
    }
    case = Case("firstOccurrence", _people(2))
    for kind, (table, start, *end) in found.items():
        later, early = (
            (("2000-09-01", "2000-09-02"), ("2000-01-01", "2000-01-02")) if end else (("2000-09-01",), ("2000-01-01",))
        )
        case.tables |= _records(table, (1, start, *end), (1, *later), (2, *early))
        case.gives(_definition({kind: {"CodesetId": 0, "First": True}}, limit="First", prior=90), (1, start, END))
    case.tables |= _records("payer_plan_period", (1, "2000-07-05", "2000-07-12"), (1, "2000-09-01", "2000-09-02"),
                            (2, "2000-01-01", "2000-01-02"))  # fmt: skip
    return case.gives(
        _definition({"PayerPlanPeriod": {"First": True}}, limit="First", prior=90), (1, "2000-07-05", END)
    )


def counts() -> Case:
    case = Case("correlatedCriteria/counts", _people(1))
    case.tables |= _records("condition_occurrence", (1, "2000-06-07"), (1, "2000-09-01"))
    case.tables |= _records("visit_occurrence", (1, "2000-06-07", "2000-06-09"), (1, "2000-08-31", "2000-09-04"))
    for kind, count, start in ((0, 0, "2000-06-07"), (2, 1, "2000-09-01"), (1, 0, "2000-06-07")):
        group = _group(_near(CONDITION, _days(None, 1), kind, count))
        case.gives(_definition(CONDITION, AdditionalCriteria=group), (1, start, END))
    visit = _near({"VisitOccurrence": {}}, _days(None, 1)) | {
        "EndWindow": {
            "Start": {"TimeUnitValue": 1, "TimeUnit": "day", "Coeff": 1}, "End": {"Coeff": 1}, "UseEventEnd": True,
        },
    }  # fmt: skip
    return case.gives(_definition(CONDITION, AdditionalCriteria=_group(visit)), (1, "2000-09-01", END))


def groups() -> Case:
    case = Case("correlatedCriteria/group", _people(3))
    case.tables |= _records("condition_occurrence", *((n, "2000-06-01") for n in (1, 2, 3)))
    case.tables |= _records("drug_exposure", (1, "2000-05-02"), (3, "2000-05-01"))
    case.tables |= _records("procedure_occurrence", (2, "2000-05-02"), (1, "2000-05-02"), (3, "2000-05-01"))
    inner = _group(_near(DRUG, _days(60, 0)), _near(PROCEDURE, _days(60, 0)))
    outer = _group(_near(DRUG, _days(30, 0)), _near(PROCEDURE, _days(30, 0)), kind="ANY", groups=(inner,))
    none = {**inner, "Type": "AT_MOST", "Count": 0}
    for group, people in (
        (outer, (1, 2, 3)),
        ({**outer, "Type": "AT_LEAST", "Count": 2}, (1,)),
        ({**outer, "Type": "AT_MOST", "Count": 2}, (2, 3)),
        ({**outer, "Type": "ALL", "Groups": [none]}, ()),
        ({**outer, "Type": "ALL", "Groups": []}, (1,)),
    ):
        case.gives(_definition(CONDITION, AdditionalCriteria=group), *((n, "2000-06-01", END) for n in people))
    return case


def limits() -> Case:
    case = Case("limits", _people(1))
    days = ("01-01", "02-01", "06-01", "07-01", "08-01", "11-01", "12-01")
    case.tables |= _records("condition_occurrence", *((1, f"2000-{day}") for day in days))
    definition = _definition(
        CONDITION,
        AdditionalCriteria=_group(_near(CONDITION, _days(None, 1))),
        EndStrategy={"DateOffset": {"DateField": "StartDate", "OffsetUnit": "day", "OffsetUnitValue": 1}},
        CollapseSettings={"CollapseType": "ERA", "EraPadUnit": "day", "EraPadUnitValue": 60},
    )
    first = (1, "2000-02-01", "2000-02-02")
    case.gives(definition, first, (1, "2000-06-01", "2000-08-02"), (1, "2000-11-01", "2000-12-02"))
    definition["ExpressionLimit"] = {"Type": "first"}
    case.gives(definition, first)
    definition["QualifiedLimit"] = {"Type": "first"}
    case.gives(definition, first)
    definition["PrimaryCriteria"]["PrimaryCriteriaLimit"] = {"Type": "first"}
    case.gives(definition)
    definition["PrimaryCriteria"]["PrimaryCriteriaLimit"] = {"Type": "last"}
    return case.gives(definition, (1, "2000-12-01", "2000-12-02"))


def continuous_exposure() -> Case:
    case = Case("exits/continuousExposure", _people(1) | _records("drug_exposure", *MONTHLY))
    era = {"DrugCodesetId": 0, "GapUnit": "day", "GapUnitValue": 60, "OffsetUnit": "day", "OffsetUnitValue": 0}
    definition = _definition(DRUG, EndStrategy={"CustomEra": era})
    stays = (1, "2000-01-01", "2000-04-02"), (1, "2000-08-01", "2000-10-02")
    case.gives(definition, *stays)
    definition["PrimaryCriteria"]["PrimaryCriteriaLimit"] = {"Type": "First"}
    case.gives(definition, stays[0])
    endless = {"DrugCodesetId": 0, "GapDays": 60, "Offset": 9999}
    return case.gives(_definition(DRUG, EndStrategy={"CustomEra": endless}), (1, "2000-01-01", END))


def fixed_offset() -> Case:
    tables = _people(2) | _records("drug_exposure", *MONTHLY, (2, "2000-10-01"))
    tables["drug_exposure"][-1]["days_supply"] = 7
    case = Case("exits/fixedOffset", tables)
    for days, rows in (
        (31, ((1, "2000-01-01", "2000-05-03"), (1, "2000-08-01", "2000-11-02"), (2, "2000-10-01", "2000-11-08"))),
        (99999, ((1, "2000-01-01", END), (2, "2000-10-01", END))),
    ):
        offset = {"DateField": "EndDate", "Offset": days, "OffsetUnit": "day", "OffsetUnitValue": days}
        case.gives(_definition(DRUG, EndStrategy={"DateOffset": offset}), *rows)
    return case


def censor_event() -> Case:
    case = Case("exits/censorEvent", _people(1) | _records("drug_exposure", *MONTHLY))
    case.tables |= _records("procedure_occurrence", (1, "2000-03-07"), (1, "2000-06-01"), (1, "2000-09-07"))
    definition = _definition(
        DRUG,
        EndStrategy={"DateOffset": {"DateField": "StartDate", "OffsetUnit": "day", "OffsetUnitValue": 31}},
        CensoringCriteria=[{"ProcedureOccurrence": {}}],
    )
    stays = ("01-01", "03-07"), ("04-01", "05-02"), ("08-01", "09-07"), ("10-01", "11-01")
    return case.gives(definition, *((1, f"2000-{start}", f"2000-{end}") for start, end in stays))


def censor_window() -> Case:
    case = Case("censorWindow", _people(2))
    case.tables |= _records("condition_occurrence", (1, "2000-02-01"), (1, "2000-07-01"), (2, "2000-01-01"))
    definition = _definition(
        CONDITION,
        EndStrategy={"DateOffset": {"DateField": "StartDate", "OffsetUnit": "day", "OffsetUnitValue": 90}},
        CensorWindow={"StartDate": "2000-04-01", "EndDate": "2000-09-01"},
    )
    return case.gives(definition, (1, "2000-04-01", "2000-05-01"), (1, "2000-07-01", "2000-09-01"))


def duplicates_in_eras() -> Case:
    stays = [("2009-06-16", "2009-06-19"), ("2009-07-01", "2009-07-04"), *[("2009-07-27", "2009-07-30")] * 3]
    case = Case("eraDupes", _people(1, end="2012-01-01"))
    case.tables |= _records("condition_occurrence", *((1, *stay) for stay in stays))
    definition = _definition(
        {"ConditionOccurrence": {}},
        sets=(),
        EndStrategy={"DateOffset": {"DateField": "EndDate", "Offset": 0, "OffsetUnit": "hour", "OffsetUnitValue": 0}},
        CollapseSettings={"CollapseType": "ERA", "EraPadUnit": "minute", "EraPadUnitValue": 0},
    )
    return case.gives(definition, *((1, *stay) for stay in dict.fromkeys(stays)))


def inclusion_rule() -> Case:
    case = Case("inclusionRules/simpleInclusionRule", _people(2))
    case.tables |= _records("condition_occurrence", (1, "2000-06-01"), (1, "2000-01-01"), (2, "2000-01-01"))
    case.tables["condition_occurrence"][1]["condition_concept_id"] = 3
    before = _group(_near({"ConditionOccurrence": {"CodesetId": 1}}, _days(None, 1)))
    definition = _definition(
        CONDITION,
        limit="First",
        sets=(_set(0, 2), _set(1, 3)),
        InclusionRules=[{"name": "Prior Condition", "expression": before}],
    )
    return case.gives(definition, (1, "2000-06-01", END))


def mixed_concept_sets() -> Case:
    case = Case("mixedConceptsets", _people(1))
    case.tables |= _records("condition_occurrence", (1, "2000-02-01"), (1, "2000-07-01"))
    case.tables["condition_occurrence"][1]["condition_source_concept_id"] = 3
    both = {"ConditionOccurrence": {"CodesetId": 0, "ConditionSourceConcept": 1}}
    return case.gives(_definition(both, limit="First", sets=(_set(0, 2), _set(1, 3))), (1, "2000-07-01", END))


def condition_status() -> Case:
    case = Case("conditionOccurrence/conditionStatus", _people(2))
    case.tables |= _records("condition_occurrence", (1, "2000-02-01"), (1, "2000-07-01"), (2, "2000-01-01"))
    case.tables["condition_occurrence"][0]["condition_status_concept_id"] = 0
    case.tables["condition_occurrence"][1]["condition_status_concept_id"] = 1
    everybody = (1, "2000-02-01", END), (2, "2000-01-01", END)
    for criterion, rows in (
        ({}, everybody),
        ({"ConditionStatus": []}, everybody),
        ({"ConditionStatus": [{"CONCEPT_ID": 1}]}, ((1, "2000-07-01", END),)),
    ):
        case.gives(_definition({"ConditionOccurrence": criterion}, limit="First", sets=()), *rows)
    return case


def distinct_counts() -> list[Case]:
    """At least two different concepts, days or visits within a year."""
    made = []
    for name, column, concepts, person in (
        ("distinctDefault", None, (2, 2, 3, 2, 2), 1),
        ("distinctStart", "START_DATE", (2, 2, 2, 2, 2), 1),
        ("distinctVisit", "VISIT_ID", (2, 2, 2, 2, 2), 2),
    ):
        case = Case(f"corelatedcriteria/{name}", _people(2, end="2010-01-01"))
        days = (1, "2000-01-01"), (1, "2005-01-01"), (1, "2005-01-02"), (2, "2005-01-01"), (2, "2005-01-01")
        case.tables |= _records("condition_occurrence", *days)
        for row, concept, visit in zip(case.tables["condition_occurrence"], concepts, (1, 2, 2, 3, 4), strict=True):
            row |= {"condition_concept_id": concept, "visit_occurrence_id": visit}
        case.tables |= _records("procedure_occurrence", (1, "2006-01-01"), (2, "2006-01-01"))
        distinct = {"IsDistinct": True, **({} if column is None else {"CountColumn": column})}
        group = _group(_near({"ConditionOccurrence": {}}, _days(365, 0), count=2, **distinct))
        definition = _definition(PROCEDURE, AdditionalCriteria=group)
        made.append(case.gives(definition, (person, "2006-01-01", "2010-01-01")))
    return made


def visit_details() -> Case:
    """Gender, specialty and place of service, in a concept set and outside of it."""
    case = Case("corelatedcriteria/visitDetailCodeset", _people(2, end="2010-01-01", gender=True))
    case.tables |= _records("visit_detail", (1, "2000-01-01", "2000-01-01"), (2, "2000-01-01", "2000-01-01"), concept=3)
    for row in case.tables["visit_detail"]:
        row |= {"provider_id": row["person_id"], "care_site_id": row["person_id"]}
    case.tables["provider"] = [{"provider_id": n, "specialty_concept_id": n} for n in (1, 2)]
    case.tables["care_site"] = [{"care_site_id": n, "place_of_service_concept_id": n} for n in (1, 2)]
    case.tables |= _records("procedure_occurrence", (1, "2000-06-01"), (2, "2000-06-01"))
    odd = {"id": 1, "name": "", "expression": {"items": [{"concept": {"CONCEPT_ID": n}} for n in (1, 3, 5)]}}
    for name in ("GenderCS", "ProviderSpecialtyCS", "PlaceOfServiceCS"):
        for outside, person in ((False, 1), (True, 2)):
            detail = {"VisitDetail": {name: {"CodesetId": 1, "IsExclusion": outside}}}
            group = _group(_near(detail, _days(365, 0), kind=0, count=1))
            definition = _definition(PROCEDURE, sets=(_set(0, 1), odd), AdditionalCriteria=group)
            case.gives(definition, (person, "2000-06-01", "2010-01-01"))
    return case


def cases() -> list[Case]:
    return [
        first_occurrence(),
        counts(),
        groups(),
        limits(),
        continuous_exposure(),
        fixed_offset(),
        censor_event(),
        censor_window(),
        duplicates_in_eras(),
        inclusion_rule(),
        mixed_concept_sets(),
        condition_status(),
        *distinct_counts(),
        visit_details(),
    ]


def as_dates(rows: Rows) -> list[tuple[int, date, date]]:
    return sorted((person, date.fromisoformat(start), date.fromisoformat(end)) for person, start, end in rows)

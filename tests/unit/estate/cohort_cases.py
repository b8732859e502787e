"""Random cohort expressions and random people to find them among (hypothesis)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count
from random import Random

from cohort_evaluator import Event, Person, Vocabulary
from hypothesis import strategies as st

DAY_ONE = date(2010, 1, 1)
LENGTH = 60
VOCABULARY = Vocabulary(
    concepts={1: True, 2: True, 3: True, 4: True, 5: True, 6: False, 7: True, 8: True},
    ancestors={(1, 1), (1, 5), (1, 6), (2, 2), (2, 3), (2, 9), (4, 4)},
    mapped={(7, 3), (8, 5)},
)
CODED = (1, 2, 3, 4, 5, 6, 7, 8)
PROVIDERS = {1: 3, 2: 4, 3: None}

# Domain → table, prefix of its concept columns, start and end columns, the criterion's fields: kind and column.
_EXPOSED = {"ProviderSpecialty": ("provider", "provider_id"), "VisitType": ("visit", "")}
DOMAINS = {
    "ConditionOccurrence": (
        "condition_occurrence", "condition", "condition_start_date", "condition_end_date",
        {**_EXPOSED, "ConditionType": ("type", "condition_type_concept_id"),
         "ConditionStatus": ("concept", "condition_status_concept_id"), "StopReason": ("text", "stop_reason"),
         "ConditionSourceConcept": ("source", "condition_source_concept_id")},
    ),
    "DrugExposure": (
        "drug_exposure", "drug", "drug_exposure_start_date", "drug_exposure_end_date",
        {**_EXPOSED, "DrugType": ("type", "drug_type_concept_id"), "RouteConcept": ("concept", "route_concept_id"),
         "Refills": ("whole", "refills"), "Quantity": ("number", "quantity"), "DaysSupply": ("whole", "days_supply"),
         "LotNumber": ("text", "lot_number"), "DrugSourceConcept": ("source", "drug_source_concept_id")},
    ),
    "Measurement": (
        "measurement", "measurement", "measurement_date", None,
        {**_EXPOSED, "MeasurementType": ("type", "measurement_type_concept_id"),
         "Operator": ("concept", "operator_concept_id"), "ValueAsNumber": ("number", "value_as_number"),
         "ValueAsConcept": ("abnormal", "value_as_concept_id"), "Unit": ("concept", "unit_concept_id"),
         "RangeLow": ("number", "range_low"), "RangeHigh": ("number", "range_high"),
         "MeasurementSourceConcept": ("source", "measurement_source_concept_id")},
    ),
    "Observation": (
        "observation", "observation", "observation_date", None,
        {**_EXPOSED, "ObservationType": ("type", "observation_type_concept_id"),
         "ValueAsNumber": ("number", "value_as_number"), "ValueAsString": ("text", "value_as_string"),
         "ValueAsConcept": ("concept", "value_as_concept_id"), "Qualifier": ("concept", "qualifier_concept_id"),
         "Unit": ("concept", "unit_concept_id"),
         "ObservationSourceConcept": ("source", "observation_source_concept_id")},
    ),
    "ProcedureOccurrence": (
        "procedure_occurrence", "procedure", "procedure_date", None,
        {**_EXPOSED, "ProcedureType": ("type", "procedure_type_concept_id"),
         "Modifier": ("concept", "modifier_concept_id"), "Quantity": ("whole", "quantity"),
         "ProcedureSourceConcept": ("source", "procedure_source_concept_id")},
    ),
    "VisitOccurrence": (
        "visit_occurrence", "visit", "visit_start_date", "visit_end_date",
        {"VisitType": ("type", "visit_type_concept_id"), "ProviderSpecialty": ("provider", "provider_id"),
         "VisitSourceConcept": ("source", "visit_source_concept_id")},
    ),
    "Death": (
        "death", "cause", "death_date", None,
        {"DeathType": ("type", "death_type_concept_id"), "DeathSourceConcept": ("source", "cause_source_concept_id")},
    ),
    "DeviceExposure": (
        "device_exposure", "device", "device_exposure_start_date", "device_exposure_end_date",
        {**_EXPOSED, "DeviceType": ("type", "device_type_concept_id"), "UniqueDeviceId": ("text", "unique_device_id"),
         "Quantity": ("whole", "quantity"), "DeviceSourceConcept": ("source", "device_source_concept_id")},
    ),
    "Specimen": (
        "specimen", "specimen", "specimen_date", None,
        {"SpecimenType": ("type", "specimen_type_concept_id"), "Quantity": ("number", "quantity"),
         "Unit": ("concept", "unit_concept_id"), "AnatomicSite": ("concept", "anatomic_site_concept_id"),
         "DiseaseStatus": ("concept", "disease_status_concept_id"), "SourceId": ("text", "specimen_source_id")},
    ),
    "ConditionEra": (
        "condition_era", "condition", "condition_era_start_date", "condition_era_end_date",
        {"OccurrenceCount": ("whole", "condition_occurrence_count")},
    ),
    "DrugEra": (
        "drug_era", "drug", "drug_era_start_date", "drug_era_end_date",
        {"OccurrenceCount": ("whole", "drug_exposure_count"), "GapDays": ("whole", "gap_days")},
    ),
    "Episode": (
        "episode", "episode", "episode_start_date", "episode_end_date",
        {"EpisodeNumber": ("whole", "episode_number"), "EpisodeType": ("selected", "episode_type_concept_id"),
         "EpisodeObjectConcept": ("selected", "episode_object_concept_id")},
    ),
    "DoseEra": (
        "dose_era", "drug", "dose_era_start_date", "dose_era_end_date",
        {"Unit": ("kind", "unit_concept_id"), "DoseValue": ("value", "dose_value")},
    ),
    "FlipText": (
        "note_nlp", "note_nlp", "note_date", None,
        {**_EXPOSED, "NoteType": ("type", "note_type_concept_id"), "NoteClass": ("kind", "note_class_concept_id"),
         "Section": ("concept", "section_concept_id"), "TermExists": ("exists", "term_exists"),
         "TermTemporal": ("temporal", "term_temporal"),
         "TextSourceConcept": ("source", "note_nlp_source_concept_id")},
    ),
    "FlipImage": (
        "image_occurrence", "modality", "image_occurrence_date", None,
        {"VisitType": ("visit", ""), "AnatomicSite": ("concept", "anatomic_site_concept_id")},
    ),
}  # fmt: skip
_OFTEN = {"FlipImage": "Features", "FlipText": "TermExists"}
"""What a criterion of the domain says every other time."""
ERAS = ("ConditionEra", "DrugEra", "DoseEra")
OF_NOTE = {"provider_id", "note_type_concept_id", "note_class_concept_id", "note_date", "visit_occurrence_id"}
FIELD_CONCEPTS = {"Measurement": (1147330, 1147138), "Observation": (1147304, 1147165)}
"""OMOP's concepts for a table and for its key, by either of which an image's feature says where its value is."""
OTHERS = [name for name in DOMAINS if name not in ERAS]
CODESETS = st.integers(0, 2)

concept = st.sampled_from((*CODED, 9)).map(lambda c: {"CONCEPT_ID": c})
genders = st.lists(st.sampled_from([8507, 8532]).map(lambda c: {"CONCEPT_ID": c}), min_size=1, max_size=2)
texts = st.sampled_from(["a", "ab", "aB%", "a_b", "it's", "a\\b", "%"])
selections = st.builds(lambda n, x: {"CodesetId": n, "IsExclusion": x}, CODESETS, st.booleans())
maybe = st.booleans
rarely = st.sampled_from([False, False, False, True])


@st.composite
def ranges(draw, low, high):
    op = draw(st.sampled_from(["lt", "lte", "eq", "!eq", "gt", "gte", "bt", "!bt"]))
    first, second = draw(st.integers(low, high)), draw(st.integers(low, high))
    return {"Value": first + draw(st.sampled_from([0, 0, 0.5])), "Op": op,
            **({"Extent": second} if op in ("bt", "!bt") else {})}  # fmt: skip


@st.composite
def date_ranges(draw):
    limits = draw(ranges(0, LENGTH))
    return {
        name: value if name == "Op" else str(DAY_ONE + timedelta(days=int(value))) for name, value in limits.items()
    }


@st.composite
def adjustments(draw):
    side = st.sampled_from(["START_DATE", "END_DATE"])
    return {"StartWith": draw(side), "StartOffset": draw(st.integers(-5, 5)), "EndWith": draw(side),
            "EndOffset": draw(st.integers(-5, 15))}  # fmt: skip


@st.composite
def criteria(draw, depth=0):
    derived = ["CustomEra"] if depth < 2 else []
    domain = draw(st.sampled_from([*OTHERS, *OTHERS, *ERAS, "ObservationPeriod", *derived]))
    one = {}
    if draw(rarely) and draw(maybe()):
        one["DateAdjustment"] = draw(adjustments())
    if depth < 2 and draw(rarely):
        one["CorrelatedCriteria"] = draw(groups(depth=depth + 1))
    if domain != "Death" and draw(maybe()):
        one["First"] = draw(maybe())
    if domain == "ObservationPeriod":
        return {domain: {**one, **draw(_period_fields())}}
    if domain == "CustomEra":
        return {domain: {**one, **draw(_custom_era(depth))}}
    if draw(st.sampled_from([True, True, True, False])):
        one["CodesetId"] = draw(CODESETS)
    age = ["AgeAtStart", "AgeAtEnd"] if domain in ERAS else ["Age"]
    options = [*DOMAINS[domain][4], *age, "Gender", "Start", "End"]
    if domain == "Measurement":
        options += ["RangeLowRatio", "RangeHighRatio", "Abnormal"]
    if domain in _OFTEN and draw(maybe()):
        one.update(draw(_field(domain, _OFTEN[domain])))
    for name in draw(
        st.lists(st.sampled_from(options), max_size=0 if depth == 0 and draw(maybe()) else 2, unique=True)
    ):
        one.update(draw(_field(domain, name)))
    return {domain: one}


@st.composite
def _period_fields(draw):
    fields = {}
    if draw(rarely):
        fields["PeriodLength"] = draw(ranges(20, LENGTH))
    if draw(rarely):
        fields["AgeAtEnd"] = draw(ranges(20, 60))
    if draw(rarely):
        day = str(DAY_ONE + timedelta(days=draw(st.integers(5, 30))))
        fields["UserDefinedPeriod"] = {draw(st.sampled_from(["StartDate", "EndDate"])): day}
    return fields


@st.composite
def _custom_era(draw, depth):
    fields = {"CriteriaList": draw(st.lists(criteria(depth=depth + 1), min_size=1, max_size=2)),
              "GapDays": draw(st.integers(0, 9))}  # fmt: skip
    more = {"Duration": ranges(0, 20), "AgeAtStart": ranges(20, 60), "GenderCS": selections, "StartDate": date_ranges(),
            "EndDate": date_ranges()}  # fmt: skip
    for name in draw(st.lists(st.sampled_from(sorted(more)), max_size=1)):
        fields[name] = draw(more[name])
    return fields


@st.composite
def _feature(draw):
    values = {"ValueAsNumber": ranges(0, 3), "ValueAsConcept": st.lists(concept, min_size=1, max_size=4),
              "ValueAsConceptCS": selections, "Unit": st.lists(concept, min_size=1, max_size=4),
              "UnitCS": selections}  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(sorted(values)), max_size=1))
    return {"CodesetId": draw(CODESETS), **{name: draw(values[name]) for name in chosen}}


@st.composite
def _field(draw, domain, name):
    if name == "Features":
        return {name: draw(st.lists(_feature(), min_size=1, max_size=2))}
    kind = DOMAINS[domain][4].get(name, ("", ""))[0]
    if name in ("Age", "AgeAtStart", "AgeAtEnd"):
        return {name: draw(ranges(20, 60))}
    if name in ("Start", "End"):
        if name == "End" and domain == "Death":
            return {}
        prefix = "Era" if domain in ERAS else "Episode" if domain == "Episode" else "Occurrence"
        return {f"{prefix}{name}Date": draw(date_ranges())}
    if name == "Abnormal":
        return {name: draw(maybe())}
    if name == "Gender":
        by_set = domain == "Episode" or draw(maybe())
        return {"GenderCS": draw(selections)} if by_set else {name: draw(genders)}
    if kind == "selected":
        return {f"{name}CS": draw(selections)}
    if kind == "source":
        return {name: draw(CODESETS)}
    if kind == "exists":
        return {name: draw(st.sampled_from(["Y", "N"]))}
    if kind == "temporal":
        return {name: draw(st.sampled_from(["present", "past"]))}
    if kind == "text":
        return {name: {"Text": draw(texts), "Op": draw(st.sampled_from(
            ["eq", "!eq", "startsWith", "!startsWith", "endsWith", "contains", "!contains"]))}}  # fmt: skip
    if kind in ("type", "concept", "kind", "abnormal", "provider", "visit"):
        if draw(rarely):
            return {f"{name}CS": draw(selections)}
        chosen = {name: draw(st.lists(concept, min_size=1, max_size=4))}
        return {**chosen, f"{name}Exclude": draw(maybe())} if kind == "type" else chosen
    return {name: draw(ranges(0, 3))}


@st.composite
def windows(draw, event_end):
    def side(coeff):
        return {"Coeff": coeff, **({"Days": draw(st.integers(0, 30))} if draw(maybe()) else {})}

    return {
        "Start": side(draw(st.sampled_from([-1, -1, 1]))),
        "End": side(draw(st.sampled_from([-1, 1, 1]))),
        "UseIndexEnd": draw(maybe()),
        "UseEventEnd": draw(event_end),
    }


@st.composite
def correlated(draw, depth):
    one = {
        "Criteria": draw(criteria(depth=depth)),
        "StartWindow": draw(windows(maybe())),
        "Occurrence": {"Type": draw(st.integers(0, 2)), "Count": draw(st.integers(0, 2)), "IsDistinct": draw(maybe())},
        "IgnoreObservationPeriod": draw(maybe()),
        "RestrictVisit": draw(rarely),
    }
    if draw(maybe()):
        columns = ["DOMAIN_CONCEPT", "START_DATE", "END_DATE", "VISIT_ID", "DURATION"]
        one["Occurrence"]["CountColumn"] = draw(st.sampled_from(columns))
    if draw(maybe()):
        one["EndWindow"] = draw(windows(st.sampled_from([None, True, False])))
    return one


@st.composite
def _demographics(draw):
    fields = {"Age": draw(ranges(20, 60)), "Gender": draw(genders), "Race": draw(st.lists(concept, max_size=3)),
              "EthnicityCS": draw(selections), "OccurrenceStartDate": draw(date_ranges()),
              "OccurrenceEndDate": draw(date_ranges())}  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True))
    return {name: fields[name] for name in chosen}


def of_set(one, codeset):
    """The criterion with another concept set, for one that has any."""
    ((domain, fields),) = one.items()
    return {domain: {**fields, "CodesetId": codeset}} if "CodesetId" in fields else one


@st.composite
def _correlated_list(draw, depth, kind):
    """Some ask about the same times, as phenotypes do, which are asked as one where a group wants none or any."""
    listed = draw(st.lists(correlated(depth), max_size=2))
    if listed and draw(maybe()):
        wanted = {"ALL": {"Type": draw(st.integers(0, 1)), "Count": 0}, "ANY": {"Type": 2, "Count": 1}}
        first = {**listed[0], "Occurrence": listed[0]["Occurrence"] | wanted.get(kind, {})}
        others = [of_set(first["Criteria"], draw(CODESETS)), draw(criteria(depth=depth))]
        more = [{**first, "Criteria": one} for one in others[: draw(st.integers(1, 2))]]
        listed = [first, *listed[1:], *more]
    return draw(_repeated(listed))


@st.composite
def _repeated(draw, listed):
    """A list in which something may be there again, word for word."""
    return [*listed, draw(st.sampled_from(listed))] if listed and draw(rarely) else listed


@st.composite
def groups(draw, depth=0):
    kind = draw(st.sampled_from(["ALL", "ANY", "ANY", "AT_LEAST", "AT_MOST"]))
    result = {
        "Type": kind,
        "CriteriaList": draw(_correlated_list(depth, kind)),
        "DemographicCriteriaList": draw(_repeated([draw(_demographics())])) if draw(rarely) else [],
        "Groups": draw(_repeated(draw(st.lists(groups(depth=depth + 1), max_size=1)))) if depth < 2 else [],
    }
    if kind.startswith("AT_"):
        result["Count"] = draw(st.integers(0, 3))
    return result


@st.composite
def _primary_list(draw):
    """One or two domains, and perhaps another concept set of the first."""
    listed = draw(st.lists(criteria(), min_size=1, max_size=2, unique_by=lambda c: next(iter(c))))
    return draw(_repeated([*listed, of_set(listed[0], draw(CODESETS))] if draw(rarely) else listed))


def _again(draw, expression):
    """The inclusion rules, to which criteria that are there already may be put once more, alone or in another group."""
    rules = expression["InclusionRules"]
    said = [rule["expression"] for rule in rules] + [g for g in (expression.get("AdditionalCriteria"),) if g]
    if not said or not draw(rarely):
        return rules
    again = draw(st.sampled_from(said))
    if draw(maybe()):
        kind = draw(st.sampled_from(["ALL", "ANY", "AT_LEAST", "AT_MOST"]))
        again = {**again, "Type": kind, "Count": draw(st.integers(0, 3))}
    return [*rules, {"name": "again", "expression": again}]


@st.composite
def expressions(draw):
    limit = st.sampled_from(["All", "First", "Last"]).map(lambda kind: {"Type": kind})
    item = st.builds(
        lambda c, x, d, m: {"concept": c, "isExcluded": x, "includeDescendants": d, "includeMapped": m},
        concept, rarely, maybe(), rarely,
    )  # fmt: skip
    sizes = ((4, 7), (2, 5), (0, 2))
    result = {
        "ConceptSets": [
            {"id": n, "name": "", "expression": {"items": draw(st.lists(item, min_size=low, max_size=high))}}
            for n, (low, high) in enumerate(sizes)
        ],
        "PrimaryCriteria": {
            "CriteriaList": draw(_primary_list()),
            "ObservationWindow": {
                "PriorDays": draw(st.sampled_from([0, 0, 5])),
                "PostDays": draw(st.sampled_from([0, 0, 5])),
            },
            "PrimaryCriteriaLimit": draw(limit),
        },
        "QualifiedLimit": draw(limit),
        "ExpressionLimit": draw(limit),
        "InclusionRules": [
            {"name": "r", "expression": g}
            for g in draw(st.lists(groups(), max_size=draw(st.sampled_from([0, 1, 1, 2]))))
        ],
        "CensoringCriteria": draw(st.lists(criteria(), max_size=1)) if draw(maybe()) else [],
        "CollapseSettings": {"CollapseType": "ERA", "EraPad": draw(st.integers(0, 10))},
        "CensorWindow": {},
    }
    if draw(rarely):
        result["AdditionalCriteria"] = draw(groups())
    result["InclusionRules"] = _again(draw, result)
    if draw(rarely):
        side = draw(st.sampled_from(["StartDate", "EndDate"]))
        result["CensorWindow"] = {side: str(DAY_ONE + timedelta(days=draw(st.integers(5, 50))))}
    strategy = draw(st.sampled_from(["", "", "DateOffset", "CustomEra"]))
    if strategy == "DateOffset":
        day = draw(st.sampled_from(["StartDate", "EndDate"]))
        result["EndStrategy"] = {strategy: {"DateField": day, "Offset": draw(st.integers(-3, 20))}}
    elif strategy == "CustomEra":
        era = {"DrugCodesetId": draw(CODESETS), "GapDays": draw(st.integers(0, 9)), "Offset": draw(st.integers(0, 3))}
        override = {"DaysSupplyOverride": draw(st.integers(1, 20))} if draw(maybe()) else {}
        result["EndStrategy"] = {strategy: {**era, **override}}
    return result


_VALUES = {
    "text": (None, "a", "ab", "aB%", "xaBcd", "a_b", "it's", "a\\b"),
    "number": (None, 0.0, 0.5, 1.0, 2.0, 3.0),
    "value": (0.0, 0.5, 1.0, 2.0),
    "whole": (0, 1, 2, 3),
    "type": CODED,
    "kind": CODED,
    "selected": CODED,
    "source": CODED,
    "concept": (None, *CODED),
    "abnormal": (None, 1, 2, 4155142, 4155143),
    "provider": (None, *PROVIDERS),
    "exists": (None, "Y", "Y", "N"),
    "temporal": (None, "Present", "present", "Past"),
}


def _event(source: Random, domain: str, number: int, visits: list[int]) -> Event:
    _, _, _, end_column, fields = DOMAINS[domain]
    start = DAY_ONE + timedelta(days=source.randint(0, LENGTH))
    end = start + timedelta(days=source.randint(1, 15) if end_column else 1)
    values = {name: source.choice(_VALUES[kind]) for name, (kind, _) in fields.items() if kind != "visit"}
    if "ProviderSpecialty" in values:
        values["provider_id"] = values["ProviderSpecialty"]
        values["ProviderSpecialty"] = PROVIDERS.get(values["provider_id"])
    visit = number if domain == "VisitOccurrence" else None
    if "VisitType" in fields and domain != "VisitOccurrence" and visits:
        visit = source.choice([None, *visits])
    return Event(number, domain, source.choice(CODED), start, end, visit, values)


def _person(source: Random, numbers: Iterator[int]) -> Person:
    cut = source.randint(15, LENGTH)
    periods = [(next(numbers), DAY_ONE, DAY_ONE + timedelta(days=cut))]
    if cut < LENGTH - 5 and source.random() < 0.5:
        periods.append((next(numbers), DAY_ONE + timedelta(days=cut + 3), DAY_ONE + timedelta(days=LENGTH)))
    events: list[Event] = []
    visits: list[int] = []
    kinds = source.choices(sorted(DOMAINS), k=source.randint(4, 16))
    for domain in sorted(kinds, key=lambda kind: kind != "VisitOccurrence"):
        if domain == "Death" and any(event.domain == "Death" for event in events):
            continue
        event = _event(source, domain, next(numbers), visits)
        visits += [event.number] if domain == "VisitOccurrence" else []
        events.append(event)
    valued = [(event.domain, event.number) for event in events if event.domain in FIELD_CONCEPTS]
    for event in events:
        if event.domain == "FlipImage":
            event.fields["Features"] = [
                (source.choice(CODED), source.choice([None, *valued])) for _ in range(source.randint(0, 3))
            ]
    fields = {"Gender": source.choice([8507, 8532]), "Race": source.choice(CODED), "Ethnicity": source.choice(CODED)}
    return Person(fields, source.randint(1950, 1990), tuple(periods), tuple(events))


@st.composite
def populations(draw):
    """Drawn by a seed: hundreds of choices are more than hypothesis would keep apart."""
    source, numbers = Random(draw(st.integers(0, 2**32))), count(1000)
    return [_person(source, numbers) for _ in range(draw(st.integers(4, 16)))]


def rows_of(people: list[Person]) -> dict[str, list[dict]]:
    """The people as rows of OMOP tables; Death has its person's id as its number."""
    rows: dict[str, list[dict]] = {name: [] for name in TABLES}
    for person_id, person in enumerate(people, 1):
        rows["person"].append(
            {"person_id": person_id, "gender_concept_id": person.fields["Gender"], "year_of_birth": person.born,
             "race_concept_id": person.fields["Race"], "ethnicity_concept_id": person.fields["Ethnicity"]}
        )  # fmt: skip
        for number, start, end in person.periods:
            rows["observation_period"].append(
                {"observation_period_id": number, "person_id": person_id, "observation_period_start_date": start,
                 "observation_period_end_date": end, "period_type_concept_id": 0}
            )  # fmt: skip
        for event in person.events:
            table, prefix, start_column, end_column, fields = DOMAINS[event.domain]
            row = {"person_id": person_id, f"{prefix}_concept_id": event.concept, start_column: event.start}
            if event.domain != "Death":
                row[f"{table}_id"] = event.number
            if end_column:
                row[end_column] = event.end
            if event.domain in ("DeviceExposure", "ConditionOccurrence") and (event.end - event.start).days == 1:
                # Without an end it lasts a day.
                row[end_column] = None
            if "VisitType" in fields and event.visit is not None:
                row["visit_occurrence_id"] = event.visit
            for name, (kind, column) in fields.items():
                if kind != "visit":
                    row[column] = event.fields["provider_id" if kind == "provider" else name]
            if event.domain == "FlipText":
                # What is said of the note stands with the note.
                of_note = {name: row.pop(name) for name in OF_NOTE & set(row)}
                rows["note"].append({"note_id": event.number, "person_id": row.pop("person_id"), **of_note})
                row["note_id"] = event.number
            for number, (concept_id, value_of) in enumerate(event.fields.get("Features", ())):
                domain, value_id = value_of or (None, None)
                named = FIELD_CONCEPTS[domain][number % 2] if domain else None
                rows["image_feature"].append(
                    {"image_feature_id": 10 * event.number + number, "person_id": person_id,
                     "image_occurrence_id": event.number, "image_feature_concept_id": concept_id,
                     "image_feature_event_field_concept_id": named, "image_feature_event_id": value_id}
                )  # fmt: skip
            rows[table].append(row)
    return rows


TABLES = ("person", "observation_period", "note", "image_feature", *(details[0] for details in DOMAINS.values()))

"""Features of images as a condition on a series: OMOP's imaging extension keeps a feature's value in other tables."""

from __future__ import annotations

from flipnb.contracts.cohort_criteria import ImageFeature
from flipnb.estate.cohort.concept_sets import ConceptSets
from flipnb.estate.cohort.conditions import in_concepts, in_ids, in_range

# OMOP's concepts for the tables, and for their keys: estates name the place of a value by the one or the other.
_VALUES = {"measurement": (1147330, 1147138), "observation": (1147304, 1147165)}


def has_feature(feature: ImageFeature, sets: ConceptSets) -> str:
    """The condition that a row ``t`` of image_occurrence has the feature, with such a value where one is asked for."""
    of_concept = sets.holds("f.image_feature_concept_id", feature.codeset_id)
    asked = _value(feature, sets)
    if not asked:
        return f"t.image_occurrence_id IN (SELECT f.image_occurrence_id FROM image_feature f WHERE {of_concept})"
    found = " UNION ALL ".join(
        f"SELECT f.image_occurrence_id FROM image_feature f JOIN {table} v ON v.{table}_id = f.image_feature_event_id "
        f"AND v.person_id = f.person_id WHERE {in_ids('f.image_feature_event_field_concept_id', named)} "
        f"AND {' AND '.join((of_concept, *asked))}"
        for table, named in _VALUES.items()
    )
    return f"t.image_occurrence_id IN ({found})"


def _value(feature: ImageFeature, sets: ConceptSets) -> list[str]:
    """Conditions on the measurement or observation ``v``."""
    conditions = []
    if feature.value_as_number is not None:
        conditions.append(in_range("v.value_as_number", feature.value_as_number, whole=False))
    for column, concepts, selection in (
        ("v.value_as_concept_id", feature.value_as_concept, feature.value_as_concept_cs),
        ("v.unit_concept_id", feature.unit, feature.unit_cs),
    ):
        if concepts:
            conditions.append(in_concepts(column, concepts))
        selected = None if selection is None else sets.selects(column, selection)
        if selected is not None:
            conditions.append(selected)
    return conditions

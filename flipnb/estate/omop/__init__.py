"""The estate's schema: OMOP CDM 5.4."""

"""OHDSI cohort expressions, the definition language of cohorts."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class CohortExpression(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    primary_criteria: dict[str, Any] = Field(alias="PrimaryCriteria")

    @classmethod
    def parse(cls, expression: dict[str, Any]) -> CohortExpression:
        """Raises FlipError ``unsupported-cohort`` that names what the compiler does not support."""
        return cls.model_validate(expression)

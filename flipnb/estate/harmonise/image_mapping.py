"""What a mapping file says of images: the series of a PACS's or XNAT's list become OMOP's IMAGE_OCCURRENCE."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import model_validator

from flipnb.estate.harmonise.mapping_parts import Codes


class Series(Codes):
    """A file with a DICOM series of a person in each row.

    ``study`` and ``series`` are the columns of their instance UIDs, and ``column`` is the modality's. ``site`` is a
    column of parts of the body, whose codes are in the code list ``site_codes`` or in ``site_vocabulary``. A study
    makes a procedure, with the modality of its first series.
    """

    study: str
    series: str
    site: str | None = None
    site_codes: str | None = None
    site_vocabulary: str | None = None

    @model_validator(mode="after")
    def _one_list_of_sites(self) -> Series:
        if (self.site is not None) != ((self.site_codes is None) != (self.site_vocabulary is None)):
            raise ValueError("a site needs either site_codes or site_vocabulary")
        return self

    def columns(self) -> Iterator[str]:
        """Every column of the list that it reads; one may come twice."""
        named = (self.study, self.series, self.column, self.site, self.id, self.date.column)
        yield from (column for column in (*named, *self.where) if column is not None)

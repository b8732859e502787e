"""Images, from a PACS to a batch. A module for each part; this one puts them under one name."""

from __future__ import annotations

from benchmarks import images_deidentify, images_training

MEASURES = {**images_deidentify.PARTS, **images_training.TRAINING}

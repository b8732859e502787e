"""A request in plain words: what a data controller reads before they decide, alike at the desk, in a terminal and on
the approval page. Made by ``flipnb.wording``; strangers' text in it is text."""

from __future__ import annotations

from pydantic import Field

from flipnb.contracts.document import Document


class Sentence(Document):
    """One line in plain words, and the lines that belong to it."""

    text: str
    parts: tuple[Sentence, ...] = ()


class SeenVariable(Document):
    """One variable that a notebook sees. ``may_be_later``: its value may lie after the index date."""

    name: str
    label: str
    what: str
    window: str
    may_be_later: bool


class Leaving(Document):
    """One channel: how often something leaves, what it is, and how many bits it can carry in all at most."""

    name: str
    times: str
    what: str
    bits: int = Field(ge=0)
    counted: bool


class Section(Document):
    """A part of the request, folded under its title."""

    title: str
    sentences: tuple[Sentence, ...]


class Brief(Document):
    """A request on one page.

    ``who`` and ``why`` are the study's own words, ``people`` the cohort in one sentence, with all of it as its parts.
    ``since`` is what differs from the last approval, ``sees`` the variables (those with a warning first) and ``beside``
    what else a notebook sees. ``leaves`` has every channel of code, ``caution`` what no check can prevent, ``flags``
    what deserves a second look, ``waiting`` the runs that wait. ``everything`` is the whole bundle, part by part.
    """

    who: tuple[Sentence, ...]
    why: str
    people: Sentence
    since: tuple[Sentence, ...]
    sees: tuple[SeenVariable, ...]
    beside: tuple[Sentence, ...]
    training: tuple[Sentence, ...]
    leaves: tuple[Leaving, ...]
    caution: str
    flags: tuple[str, ...]
    waiting: str
    everything: tuple[Section, ...]

"""A request on one page: who and why, which people, what is new, seen and leaves, what deserves a second look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from flipnb.contracts.attached import ShownFile
from flipnb.contracts.brief import Brief, Section, Sentence
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.channels import Channel
from flipnb.contracts.desk import Changes
from flipnb.contracts.keys import fingerprint
from flipnb.contracts.policy import Policy
from flipnb.contracts.study import Roster
from flipnb.contracts.total import place_words
from flipnb.wording.attached import file_sentences, since_sentences
from flipnb.wording.cohort import cohort_sentence
from flipnb.wording.dataset import (
    image_sentences,
    seen_variables,
    split_sentences,
    table_sentences,
    variable_sentences,
)
from flipnb.wording.leaving import leaving_rows
from flipnb.wording.rest import rest
from flipnb.wording.training import (
    aggregation_words,
    array_words,
    bounds_words,
    output_words,
    parameter_words,
    plan_sentences,
    strategy_words,
    weights_sentences,
)
from flipnb.wording.values import listed, many, quoted, visible

NOT_GIVEN = "not given"
_NAMED_FLAGGED = 3


@dataclass(frozen=True)
class Asked:
    """What an enclave knows of one request beside its bundle.

    ``roster`` is that of the membership that this Trust signed; None where it is not in the study any more. ``count``
    is exact, None where it is not known. ``before`` is the bundle that ``changes`` compares with, approved ``since``.
    ``waiting`` runs wait for this Trust. ``files`` go with the notebook. ``what_leaves`` are sentences of the enclave's
    own about what leaves.
    """

    researcher: str
    researcher_key: str
    roster: Roster | None
    count: int | None
    changes: Changes
    before: Bundle | None
    since: datetime | None
    waiting: int
    estate_version: str | None
    files: tuple[ShownFile, ...]
    what_leaves: tuple[str, ...]


def brief(bundle: Bundle, policy: Policy, channels: Sequence[Channel], asked: Asked) -> Brief:
    """The request in words. Raises FlipError as ``CohortExpression.parse``."""
    cohort = cohort_sentence(bundle.cohort)
    counted = f"n = {asked.count} here: " if asked.count is not None else "not counted here: "
    variables = seen_variables(bundle.dataset)
    later = [row.name for row in variables if row.may_be_later]
    later += [one.name for one in bundle.dataset.images if one.may_be_later and one.role == "feature"]
    return Brief(
        who=tuple(_who(bundle, asked)),
        why=visible(asked.roster.purpose) if asked.roster is not None else NOT_GIVEN,
        people=Sentence(text=f"{counted}{cohort.text}", parts=cohort.parts),
        since=tuple(_since(bundle, asked)),
        sees=variables,
        beside=tuple(_beside(bundle, asked)),
        training=tuple(_training(bundle)),
        leaves=leaving_rows(bundle, policy, channels),
        caution=_caution(bundle, channels),
        flags=tuple(_flags(bundle, policy, later)),
        waiting=_waiting(asked.waiting),
        everything=tuple(_everything(bundle, asked, cohort)),
    )


def study_words(roster: Roster) -> list[str]:
    """Purpose, institution, ethics and governance of a study, ``not given`` where it does not say."""
    return [
        f"Purpose: {visible(roster.purpose)}",
        f"Institution: {visible(roster.institution) or NOT_GIVEN}",
        f"Ethics reference: {visible(roster.ethics) or NOT_GIVEN}",
        f"Information governance reference: {visible(roster.governance) or NOT_GIVEN}",
    ]


def _who(bundle: Bundle, asked: Asked) -> Iterator[Sentence]:
    roster = asked.roster
    named = [("institution", "institution"), ("ethics", "ethics"), ("governance", "IG")]
    given = [
        f"{word} {visible(str(getattr(roster, field)))}" if roster and getattr(roster, field) else f"{word} {NOT_GIVEN}"
        for field, word in named
    ]
    yield Sentence(text=" · ".join([visible(asked.researcher), f"study {bundle.study}", *given]))
    known = roster is not None and asked.researcher_key in roster.researcher_keys()
    pinned = "named by this Trust's signed membership" if known else "NOT in this Trust's membership now"
    yield Sentence(text=f"Signed with the key {fingerprint(asked.researcher_key)}, {pinned}.")


def _since(bundle: Bundle, asked: Asked) -> Iterator[Sentence]:
    changes = asked.changes
    if changes.since is None or asked.before is None:
        yield Sentence(text="Nothing like it was approved here before.")
        return
    day = f" on {asked.since.day} {asked.since:%b %Y}" if asked.since is not None else ""
    yield Sentence(text=f"Compared with {changes.since[:8]}…, last approved{day}:")
    fresh = [cell for cell in changes.cells if cell.kind != "same"]
    if fresh:
        yield Sentence(text=f"{len(fresh)} of {many(len(bundle.notebook.cells), 'cell')} new, changed or gone.")
    yield from since_sentences(changes)
    earlier = {parameter.name: parameter for parameter in asked.before.parameters}
    for parameter in bundle.parameters:
        if earlier.pop(parameter.name, None) != parameter:
            yield Sentence(text=f"The parameter {parameter.name} may now be {bounds_words(parameter)}.")
    for name in earlier:
        yield Sentence(text=f"The parameter {name} is gone.")
    others = [_part(change.field) for change in changes.fields if change.field != "parameters"]
    if others:
        yield Sentence(text=f"Changed as well: {listed(others)}.")
    kept = [
        _part(name)
        for name in ("cohort", "dataset", "split", "plan", "outputs", "totals")
        if name not in {change.field for change in changes.fields}
    ]
    if kept:
        yield Sentence(text=f"As before: {listed(kept)}.")


def _part(field: str) -> str:
    """What a part of a bundle is called."""
    return {"dataset": "variables, tables and images", "outputs": "numbers"}.get(field, field.replace("_", " "))


def _beside(bundle: Bundle, asked: Asked) -> Iterator[Sentence]:
    yield from image_sentences(bundle.dataset)
    yield from table_sentences(bundle.dataset)
    yield from (Sentence(text=sentence.text) for sentence in file_sentences(asked.files))


def _training(bundle: Bundle) -> Iterator[Sentence]:
    plan = bundle.plan
    early = ", fewer where all agree" if plan.consensus is not None else ""
    yield Sentence(text=f"{many(plan.rounds, 'round')}{early}, by {strategy_words(plan.strategy)}.")
    yield Sentence(text=aggregation_words(plan))
    yield from split_sentences(bundle.split)
    yield from _choosable(bundle)
    taking = f"At least {bundle.minimum_trusts} of {many(len(bundle.trusts), 'Trust')} take part"
    yield Sentence(text=f"{taking}, in the environment {bundle.environment.name}.")


def _choosable(bundle: Bundle) -> list[Sentence]:
    told = bundle.choosable.told(rounds=bundle.plan.rounds, folds=bundle.split.folds)
    return [Sentence(text=text) for text in told]


def _caution(bundle: Bundle, channels: Sequence[Channel]) -> str:
    weights = channels[0].bits
    return (
        f"Approved code can write anything it reads into the {many(bundle.tensors.elements, 'weight')}, up to "
        f"{many(weights, 'bit')}. Read the code."
    )


def _flags(bundle: Bundle, policy: Policy, later: list[str]) -> Iterator[str]:
    if later:
        shown = later[:_NAMED_FLAGGED]
        more = len(later) - len(shown)
        yield f"{listed([*shown, *([f'{more} more'] if more else [])])} may lie after the index date."
    if policy.least_trusts(bundle) == 1:
        yield "This Trust may be alone in it: its totals and numbers are then its own, added to nobody's."
    elif bundle.minimum_trusts <= 2:
        yield "Where only two Trusts take part, each of the two can work out the other's part."
    if bundle.plan.aggregation == "individual":
        yield "Single Trusts' changes are not summed."
    if policy.per_trust_metrics:
        yield "Your policy lets this Trust's own numbers out, not only averages."


def _waiting(waiting: int) -> str:
    if waiting == 0:
        return "No run waits; each takes one execution when it comes."
    return f"{many(waiting, 'run')} {'waits' if waiting == 1 else 'wait'}; each takes one execution."


def _everything(bundle: Bundle, asked: Asked, cohort: Sentence) -> Iterator[Section]:
    def section(title: str, sentences: Iterator[Sentence] | Sequence[Sentence]) -> Section:
        told = tuple(sentences)
        return Section(title=title, sentences=told or (Sentence(text="None."),))

    if asked.roster is not None:
        yield section("Study", [Sentence(text=text) for text in study_words(asked.roster)])
    yield section("Cohort", cohort.parts)
    yield section("Variables", variable_sentences(bundle.dataset))
    beside = [*image_sentences(bundle.dataset), *table_sentences(bundle.dataset), *file_sentences(asked.files)]
    yield section("Images, tables and files", beside)
    yield section("Split", split_sentences(bundle.split))
    yield section("Training", plan_sentences(bundle.plan))
    yield section("Weights", weights_sentences(bundle))
    yield section("Parameters", [Sentence(text=parameter_words(one)) for one in bundle.parameters])
    yield section("What else a run may choose", _choosable(bundle))
    yield section("Numbers reported", [Sentence(text=f"{one.name}: {output_words(one)}") for one in bundle.outputs])
    yield section(
        "Totals",
        [
            Sentence(text=f"{array.name}: {array_words(array)}, {place_words(step.place)}")
            for step in bundle.totals
            for array in step.arrays
        ],
    )
    yield section("What leaves, in words", [Sentence(text=line) for line in asked.what_leaves])
    yield section("Who takes part, where and when", _taking_part(bundle, asked))


def _taking_part(bundle: Bundle, asked: Asked) -> Iterator[Sentence]:
    titles = [_trust(key, asked.roster) for key in bundle.trusts]
    yield Sentence(text=f"At least {bundle.minimum_trusts} of: {listed(titles)}.")
    yield Sentence(text=f"The study {bundle.study}, with the membership {bundle.membership}.")
    name = f", from the notebook {quoted(bundle.notebook_name)}" if bundle.notebook_name else ""
    yield Sentence(text=f"The bundle is called {quoted(bundle.title)}{name}, in the form {bundle.version}.")
    yield Sentence(text=f"The environment {bundle.environment.name}, with the lock {bundle.environment.lock}.")
    for file in bundle.files:
        yield Sentence(text=f"The file {file.name} has the SHA-256 {file.sha256}.")
    yield Sentence(text=f"Valid from {_moment(bundle.not_before)} to {_moment(bundle.expires)}.")
    yield Sentence(text=f"The estate version here is {asked.estate_version or 'none yet'}.")
    known = set(Bundle.model_fields) & {
        "version", "study", "title", "membership", "trusts", "minimum_trusts", "notebook", "notebook_name", "files",
        "parameters", "cohort", "dataset", "split", "plan", "tensors", "initial_weights", "outputs", "totals",
        "environment", "choosable", "not_before", "expires",
    }  # fmt: skip
    yield from rest(bundle, known)


def _trust(key: str, roster: Roster | None) -> str:
    trust = roster.trust_named(key) if roster is not None else None
    return f"{visible(trust.title)} ({fingerprint(key)})" if trust is not None else fingerprint(key)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"

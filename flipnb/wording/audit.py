"""The audit log in sentences, one for each entry, and in lines: one for all entries of a run, and one for all the times
of a day that a study was told its budget."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from flipnb.contracts.audit import AuditKind
from flipnb.contracts.document import load_json
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import TRUST_WORDS
from flipnb.wording.values import listed, many, visible

GROUPS = ("all", "left", "refused", "decisions", "looks", "images")
_DECISIONS = {"approved", "declined", "joined", "stopped", "left", "loss-declared", "image-decided"}
_KEPT = 2000
_OF_A_RUN = {
    "run-started", "run-ended", "kernel-died", "slot-released", "round-released", "round-refused", "report-refused",
    "total-released", "total-refused", "left", "stopped", "progress-told", "told",
}  # fmt: skip
_STATES: Mapping[str, str] = {str(state): word for state, word in TRUST_WORDS.items()}
_TOLD = {
    "report": "told the hub how a run stands", "update": "sent the change of the weights",
    "reply": "answered a question of the hub",
    "join": "told the hub that this Trust joined {}", "card": "told the hub what this Trust has",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """An entry of the log as it was written: ``leaf`` is its canonical JSON."""

    index: int
    at: datetime
    kind: str
    details: Mapping[str, Any]
    leaf: str

    @classmethod
    def of(cls, leaf: str) -> Entry:
        """Raises FlipError ``not-json``."""
        found = load_json(leaf.encode(), "An entry of the audit log")
        return cls(found["index"], datetime.fromisoformat(found["at"]), found["kind"], found["details"], leaf)

    @property
    def run(self) -> str | None:
        """The run that it is of; None for all others."""
        run = self.details.get("run")
        return str(run) if run is not None and self.kind in _OF_A_RUN else None

    @property
    def line(self) -> str:
        """The key of the line that it stands in."""
        if self.run is not None:
            return f"run-{self.run}"
        if self.kind == "count-released" and _of_budget(self.details):
            return f"budget-{_Said(self.details)('study')}-{self.at:%Y-%m-%d}"
        return f"entry-{self.index}"

    @property
    def groups(self) -> tuple[str, ...]:
        """Those of ``GROUPS`` that it belongs to."""
        tests = {
            "left": self.kind.endswith(("-released", "told")) and self.kind != "slot-released",
            "refused": self.kind.endswith("-refused") or self.kind in ("refused-again", "passphrase-wrong"),
            "decisions": self.kind in _DECISIONS,
            "looks": self.kind == "opened",
            "images": self.kind == "image-decided",
        }
        return ("all", *(name for name, belongs in tests.items() if belongs))


def entry_sentence(kind: str, details: Mapping[str, Any]) -> str:
    """One entry in plain words; strangers' words in it are text. Every kind has words, however old the entry is."""
    say = _SENTENCES.get(kind)
    return say(_Said(details)) if say is not None else f"{visible(kind)} (a kind that this version does not know)"


class _Said:
    """An entry's details as text; what is not there is said so."""

    def __init__(self, details: Mapping[str, Any]) -> None:
        self._details = details

    def __call__(self, name: str) -> str:
        value = self._details.get(name)
        return visible(str(value)) if isinstance(value, str | int | float) else "unknown"

    def digest(self, name: str) -> str:
        return f"{self(name)[:8]}…"

    def number(self, name: str) -> int:
        value = self._details.get(name)
        return value if isinstance(value, int) else 0

    def inner(self, name: str) -> _Said:
        value = self._details.get(name)
        return _Said(value if isinstance(value, dict) else {})

    def has(self, name: str) -> bool:
        return self._details.get(name) is not None

    @property
    def of_budget(self) -> bool:
        return _of_budget(self._details)

    def names(self, name: str) -> list[str]:
        value = self._details.get(name)
        return [visible(str(key)) for key in value] if isinstance(value, dict | list) else []


def _round(said: _Said) -> str:
    number = said.number("round")
    return f"round {number}" if number else "before the rounds"


def _approved(said: _Said) -> str:
    runs, demanded = many(said.number("executions"), "run"), said.number("demanded")
    more = f"; {demanded} people must approve" if demanded > 1 else ""
    return f"approved by {said('controller')} for {runs}: request {said.digest('bundle')}{more}"


def _of_budget(details: Mapping[str, Any]) -> bool:
    """Whether an answer was a study's budget alone: free, of nobody, and asked whenever a screen is opened."""
    asked = ("suppressed", "funnel", "charts")
    return details.get("cost") == 0 and details.get("people") is None and not any(map(details.get, asked))


def _counted(said: _Said) -> str:
    if said.of_budget:
        return f"told {said('study')} its budget: {said.number('left'):,} left"
    cost = many(said.number("cost"), "count")
    return f"counted for {said('study')}: {cost}, {said.number('left'):,} left"


def _told(said: _Said) -> str:
    content = said.inner("content")
    if said("what") == "answer" and not content.has("reason"):
        return f"answered a task of the hub, {many(said.number('bytes'), 'byte')}"
    known = _TOLD.get(said("what"))
    words = known.format(content("study")) if known is not None else f"told the hub: {said('what')}"
    if said("what") == "report" and content.has("state"):
        reason = f" ({content('reason')})" if content.has("reason") else ""
        words = f"told the hub how a run stands: {_STATES.get(content('state'), content('state'))}{reason}"
    if said("what") == "answer" and content.has("reason"):
        words = f"refused a task of the hub: {content('reason')}"
    return f"{words}, {many(said.number('bytes'), 'byte')}"


def _progress(said: _Said) -> str:
    progress = said.inner("content").inner("progress")
    at = [f"{word} {progress(word)}" for word in ("cell", "round") if progress.has(word)]
    return f"told how far a run is: {listed(at) or 'it goes on'}"


def _released(said: _Said) -> str:
    vote = f", vote {said('vote')}" if said.has("vote") else ""
    weights = [f"{many(said.number('bytes'), 'byte')} of weights"] * bool(said.number("bytes"))
    numbers = [f"the numbers {listed(said.names('report'))}"] * bool(said.names("report"))
    return f"{_round(said)} left here: {' and '.join(weights + numbers) or 'nothing'}{vote}"


def _again(said: _Said) -> str:
    what = visible(said("of")).replace("-", " ")
    return f"{what}, {many(said.number('more'), 'time')} more, about {said('like') or 'the same'}"


def _stopped(said: _Said) -> str:
    by = f", by the {said('by')}" if said.has("by") else ""
    return f"stopped a run here{by}"


def _lost(said: _Said) -> str:
    files = many(len(said.names("files")), "file")
    return f"{said('controller')} declared a loss: {files}; what nobody vouches for counts as spent"


def _died(said: _Said) -> str:
    return f"a kernel died in {_round(said)}: {said('reason')}, status {said('status')}"


def _ended(said: _Said) -> str:
    code = f" ({said('code')})" if said.has("code") else ""
    return f"a run ended here: {said('state')}{code}"


def _image(said: _Said) -> str:
    boxes = f" with {many(said.number('boxes'), 'place')} covered" if said.number("boxes") else ""
    ways = {
        "release": "released held image {}",
        "blank": f"released held image {{}}{boxes}",
        "refuse": "refused held image {}",
        "withdraw": "took back the decision about held image {}",
    }
    words = ways.get(said("decision"), "decided about held image {}")
    return f"{said('controller')} {words.format(said.digest('image'))}"


_SENTENCES: dict[str, Callable[[_Said], str]] = {
    "joined": lambda said: f"joined the study {said('study')}, roster {said.digest('roster')}",
    "count-released": _counted,
    "count-refused": lambda said: f"refused a count for {said('study')}: {said('code')}",
    "request-received": lambda said: f"a request came: {said.digest('bundle')}, key {said.digest('researcher')}",
    "request-refused": lambda said: f"refused a run of {said('study')}: {said('reason')}",
    "approved": _approved,
    "declined": lambda said: f"declined: request {said.digest('bundle')}, “{said('reason')}”",
    "opened": lambda said: f"{said('controller')} opened the {said('part')} of request {said.digest('bundle')}",
    "run-started": lambda said: f"a run started with {many(len(said.names('members')), 'Trust')}",
    "run-ended": _ended,
    "kernel-died": _died,
    "slot-released": lambda said: f"a run gave its slot to others in {_round(said)}",
    "round-released": _released,
    "round-refused": lambda said: f"refused {_round(said)}: its context is not one that may be answered",
    "report-refused": lambda said: f"refused what the notebook reported: {said('code')}",
    "total-released": lambda said: f"a total left here: {listed(said.names('values')) or 'nothing'}",
    "total-refused": lambda said: f"refused a total: {said('reason')}",
    "left": lambda said: f"the notebook left the run in {_round(said)}",
    "stopped": _stopped,
    "estate-loaded": lambda said: "a new estate version was loaded",
    "agent-started": lambda said: "the agent started",
    "anchored": lambda said: "log and stores were tied to each other",
    "loss-declared": _lost,
    "passphrase-wrong": lambda said: f"a wrong passphrase was typed for {said('controller')}",
    "task-refused": lambda said: f"refused a task of the hub: {said('reason') if said.has('reason') else said('code')}",
    "refused-again": _again,
    "progress-told": _progress,
    "told": _told,
    "image-decided": _image,
}
assert set(_SENTENCES) >= set(get_args(AuditKind)), "a kind of entry has no words"


@dataclass
class Line:
    """One line of the story: an entry, or all that ``Entry.line`` puts together. ``indices`` are its entries'."""

    key: str
    run: str | None = None
    at: datetime | None = None
    text: str = ""
    indices: list[int] = field(default_factory=list)
    groups: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    last: str = ""

    def take(self, entry: Entry) -> None:
        """One more entry of it."""
        self.at, self.last = entry.at, entry_sentence(entry.kind, entry.details)
        self.indices.append(entry.index)
        self.groups.update(entry.groups)
        self.counts[entry.kind] += 1
        size = entry.details.get("bytes")
        if entry.kind == "round-released" and isinstance(size, int):
            self.counts["bytes"] += size

    def sentence(self, name_of: Callable[[str], str]) -> str:
        """``lr 0.5: 12 answers to rounds left here, 1.4 kB``; ``name_of`` calls runs what people call them."""
        if self.run is None:
            asked = len(self.indices)
            return self.last if asked == 1 else f"{self.last}, asked {many(asked, 'time')}"
        counts = self.counts
        answers = counts["round-released"]  # one for each round, and one for the final evaluation
        told = [f"{many(answers, 'answer')} to rounds left here, {_size(counts['bytes'])}"] * bool(answers)
        told += [f"{many(counts['total-released'], 'total')} left here"] * bool(counts["total-released"])
        refused = sum(counts[kind] for kind in ("round-refused", "total-refused", "report-refused"))
        told += [f"{refused:,} refused"] * bool(refused)
        told += [f"{many(counts['kernel-died'], 'kernel')} died"] * bool(counts["kernel-died"])
        told += ["ended"] * bool(counts["run-ended"]) + ["stopped"] * bool(counts["stopped"])
        return f"{visible(name_of(self.run))}: {', '.join(told) or self.last}"


class Story:
    """A log's lines, of which it keeps the newest; it is fed with entries in their order."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self.size = 0

    def take(self, leaves: Iterable[str]) -> None:
        """The next entries, as canonical JSON. Raises FlipError ``not-json``."""
        for leaf in leaves:
            entry = Entry.of(leaf)
            line = self._lines.setdefault(entry.line, Line(entry.line, entry.run))
            line.take(entry)
            self._lines.move_to_end(entry.line)
            self.size = entry.index + 1
            while len(self._lines) > _KEPT:
                self._lines.popitem(last=False)

    def lines(self, group: str = "all") -> list[Line]:
        """The newest first. Raises FlipError ``bad-query`` for no group of ``GROUPS``."""
        if group not in GROUPS:
            raise FlipError("bad-query", f"The groups of the audit log are {', '.join(GROUPS)}.")
        return [line for line in reversed(self._lines.values()) if line.groups[group]]

    def line(self, key: str) -> Line:
        """Raises FlipError ``no-line`` where it is not among the newest."""
        found = self._lines.get(key)
        if found is None:
            raise FlipError("no-line", "This line of the audit log is not among the newest.", status=404)
        return found


def _size(size: int) -> str:
    """As it was sent: how much that can tell at most is in the brief, which is less."""
    return f"{size / 1000:.1f} kB" if size >= 1000 else many(size, "byte")

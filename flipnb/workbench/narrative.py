"""A run's events as sentences: always which Trust, never a bare "failed"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from flipnb.contracts.channels import EIGHTHS
from flipnb.contracts.images import FROZEN_WORDS
from flipnb.contracts.run import RUN_WORDS, TRUST_WORDS, Failure, Progress, RoundSummary, RunEvent


def describe(event: RunEvent, names: Mapping[str, str]) -> str:
    """One line for one event; ``names`` gives each Trust's title by key."""
    who = names.get(event.trust, event.trust[:12]) if event.trust else ""
    if event.kind == "round" and event.round is not None:
        return describe_round(event.round, names)
    if event.kind == "progress" and event.progress is not None:
        return f"{who}: {describe_progress(event.progress)}"
    why = _why(event.reason, event.failure)
    if event.kind == "trust" and event.estate is not None:
        return f"{who} runs on its estate {event.estate[:8]}"
    if event.kind == "trust" and event.images:
        return f"{who}: " + "; ".join(f"images {name}: {FROZEN_WORDS[one]}" for name, one in event.images.items())
    if event.trust_state is not None:
        return f"{who} {_stands(TRUST_WORDS[event.trust_state])}{why}"
    if event.state is not None:
        return f"The run {_stands(RUN_WORDS[event.state])}{why}"
    return f"{who or 'The run'}{why}"


def describe_round(summary: RoundSummary, names: Mapping[str, str]) -> str:
    """One line for a finished round."""
    where = f"Round {summary.round} of {summary.of}" if summary.training else "Final model, evaluated once"
    numbers = ", ".join(f"{name} {value:g}" for name, value in summary.metrics.items())
    if summary.votes is not None:
        numbers += f"; {summary.votes} of {summary.voters} agree"
    missing = "".join(f"; without {names.get(key, key[:12])}: {why}" for key, why in summary.left_out.items())
    return f"{where}: {numbers} ({len(summary.members)} Trusts, {summary.seconds:.2f} s){missing}"


def final_of(rounds: Iterable[RoundSummary]) -> RoundSummary | None:
    """The evaluation of the final model, which is no round of the training; None before it is there."""
    return next((summary for summary in rounds if not summary.training), None)


def describe_final(rounds: Iterable[RoundSummary]) -> str | None:
    """ "Final model, evaluated once, after training: accuracy 0.790, loss 0.443"; None before it was."""
    final = final_of(rounds)
    if final is None:
        return None
    numbers = ", ".join(f"{name} {_metric(value)}" for name, value in final.metrics.items())
    return f"Final model, evaluated once, after training: {numbers}"


def shares_of(rounds: Iterable[RoundSummary]) -> dict[str, str]:
    """Each Trust's share of all people in train, in the last round that it was in, by key: ``10 to 25 %``."""
    last = {key: share for summary in rounds for key, share in summary.shares.items()}
    return {key: f"{share.replace('-', ' ')} %" for key, share in last.items()}


def describe_memory(progress: Progress | None) -> str | None:
    """The most memory so far, for example "1.5 GB of 4 GB, GPU 10 GB of 80 GB"; None where the Trust keeps it."""
    if progress is None:
        return None
    told = (("", progress.memory_bytes, progress.memory_of_bytes), ("GPU ", progress.gpu_bytes, progress.gpu_of_bytes))
    parts = [f"{what}{_size(used)} of {_size(most)}" for what, used, most in told if used and most]
    return ", ".join(parts) or None


def describe_progress(progress: Progress) -> str:
    """Where a Trust's part is: "cell 2 of 5, round 3, epochs [######--]", a bar of eighths."""
    of = f" of {progress.cells}" if progress.cells else ""
    parts = [f"cell {progress.cell}{of}"] if progress.cell else []
    parts += [f"round {progress.round}"] if progress.round else []
    if progress.eighths is not None:
        parts.append(f"epochs [{'#' * progress.eighths:-<{EIGHTHS}}]")
    return ", ".join(parts) or "at work"


def describe_age(heard: datetime | None, now: datetime) -> str:
    """How long ago a Trust's agent was last heard: "12 s ago"; "not lately" where it was not."""
    if heard is None:
        return "not lately"
    seconds = max(0, round((now - heard).total_seconds()))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"


def _stands(word: str) -> str:
    """The word of a state as a predicate: ``waits for slots``, ``is running``."""
    return word if word.startswith("waits") else f"is {word}"


def _metric(value: float) -> str:
    """Three significant figures."""
    return f"{value:#.3g}" if 1e-4 <= abs(value) < 1000 else f"{value:g}"


def _size(number: int) -> str:
    """In powers of 1024, as memory is sold."""
    mega = number / 2**20
    return f"{mega:.0f} MB" if mega < 1024 else f"{float(f'{mega / 1024:.3g}'):g} GB"


def _why(reason: str | None, failure: Failure | None) -> str:
    if failure is not None:
        return f": {failure.describe()}"
    return f": {reason}" if reason else ""

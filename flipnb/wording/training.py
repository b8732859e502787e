"""How a run is trained and combined, in words: rounds, strategy, aggregation, limits, parameters, weights, outputs."""

from __future__ import annotations

from collections.abc import Iterator

from flipnb.contracts.brief import Sentence
from flipnb.contracts.bundle import Bundle
from flipnb.contracts.outputs import DeclaredOutput
from flipnb.contracts.parameters import Parameter, Scalar
from flipnb.contracts.plan import Plan
from flipnb.contracts.strategy import Strategy
from flipnb.contracts.total import DeclaredArray
from flipnb.wording.attached import tensor_words
from flipnb.wording.rest import rest
from flipnb.wording.values import listed, many, number, quoted, visible

_STRATEGIES = {
    "FedAvg": "the mean of the Trusts' changes, weighted by people, is added",
    "FedProx": "as FedAvg, and each Trust's training is held near the weights it was given",
    "FedAvgM": "the mean of the changes is added with momentum",
    "FedAdam": "the mean of the changes is added by Adam's rule",
    "FedYogi": "the mean of the changes is added by Yogi's rule",
    "FedAdagrad": "the mean of the changes is added by Adagrad's rule",
    "FedMedian": "the median of the Trusts' changes is taken",
    "FedTrimmedAvg": "the mean of the changes without the outermost is taken",
    "Krum": "the change that is nearest to the others is taken",
    "MultiKrum": "the mean of the changes that are nearest to each other is taken",
}


def strategy_words(strategy: Strategy) -> str:
    """``FedProx (proximal_mu 0.1): …``."""
    given = ", ".join(f"{name} {number(value)}" for name, value in strategy.parameters.items())
    does = _STRATEGIES.get(strategy.name, "a strategy that the hub's operator installed; ask what it does")
    return f"{strategy.name}{f' ({given})' if given else ''}: {does}"


def aggregation_words(plan: Plan) -> str:
    """Who sees a Trust's change of the weights."""
    if plan.aggregation == "sum":
        return "The Trusts' changes are only added; the strategy is given their sum."
    return "Each Trust's change is handed to the strategy by itself, not only the sum."


def plan_sentences(plan: Plan) -> Iterator[Sentence]:
    """Everything that a plan says."""
    yield Sentence(text=f"{many(plan.rounds, 'round')} of {strategy_words(plan.strategy)}.")
    yield Sentence(text=aggregation_words(plan))
    if plan.consensus is not None:
        rule = plan.consensus
        yield Sentence(
            text=f"It ends early once every Trust votes yes in {many(rule.rounds, 'round')} in a row: its "
            f"{rule.measure} with the common model is at least {number(rule.threshold)} on its validation part."
        )
    yield Sentence(
        text=f"A Trust's change in a round is clipped at {number(plan.clip_norm)} (L2 norm); whole numbers change by "
        f"at most {plan.integer_clip:,}; a Trust counts as at most {many(plan.weight_cap, 'person', 'people')}."
    )
    if plan.epochs is not None:
        yield Sentence(text=f"{many(plan.epochs, 'epoch')} in each round are declared.")
    if plan.strategy.installed or plan.reach != 1.0:
        yield Sentence(text=f"A round may move the common weights by {number(plan.reach)} times the clip.")
    if plan.radius is not None:
        yield Sentence(text=f"The common weights may lie at most {number(plan.radius)} (L2) from the first ones.")
    yield Sentence(
        text=f"A Trust has {plan.round_seconds:,} s for a round, once rounds are learned from at least "
        f"{plan.patience_seconds:,} s, {plan.start_seconds:,} s more for the first; the run "
        f"{plan.run_seconds:,} s in all."
    )
    known = {"rounds", "strategy", "aggregation", "consensus", "clip_norm", "integer_clip", "epochs", "weight_cap",
             "reach", "radius", "round_seconds", "patience_seconds", "start_seconds", "run_seconds"}  # fmt: skip
    yield from rest(plan, known)


def parameter_words(parameter: Parameter) -> str:
    """``lr, a float, 0.01 to 1, as a rule 0.1: “help”``."""
    about = f": {quoted(parameter.help)}" if parameter.help else ""
    kind = {"bool": "yes or no", "int": "a whole number", "float": "a number", "str": "a text"}[parameter.type]
    return f"{parameter.name}, {kind}, {bounds_words(parameter)}{about}"


def bounds_words(parameter: Parameter) -> str:
    """Which values a parameter may have: ``0.01 to 1, as a rule 0.1``; ``always 3``."""
    usual = _scalar(parameter.default)
    ends = [("at least", parameter.minimum), ("at most", parameter.maximum)]
    limits = " and ".join(f"{word} {number(end)}" for word, end in ends if end is not None)
    if parameter.choices:
        among = f"one of {listed([_scalar(choice) for choice in parameter.choices], 'or')}"
        return f"{among}{f', {limits}' if limits else ''}, as a rule {usual}"
    return f"{limits}, as a rule {usual}" if limits else f"always {usual}"


def output_words(output: DeclaredOutput) -> str:
    """``0 to 1, 3 decimals, over test``."""
    return (
        f"{number(output.minimum)} to {number(output.maximum)}, {many(output.decimals, 'decimal')}, over {output.over}"
    )


def array_words(array: DeclaredArray) -> str:
    """``10 x 2 numbers, 0 to 100, 0 decimals``."""
    shape = " x ".join(map(str, array.shape))
    what = f"{shape} numbers" if array.shape else "1 number"
    return f"{what}, {number(array.minimum)} to {number(array.maximum)}, {many(array.decimals, 'decimal')}"


def weights_sentences(bundle: Bundle) -> Iterator[Sentence]:
    """The tensors of the model, and the file that it begins with."""
    tensors = bundle.tensors.tensors
    parts = tuple(Sentence(text=tensor_words(one)) for one in tensors)
    yield Sentence(text=f"{many(bundle.tensors.elements, 'number')} in {many(len(tensors), 'tensor')}.", parts=parts)
    yield Sentence(text=f"It begins with the weights {bundle.initial_weights}.")


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return quoted(value) if isinstance(value, str) else visible(number(value))

"""Anchors that bite: a circuit held against the best guess that does not look at the prompt.

The empty circuit is often far worse than a coin, which flatters faithfulness: a circuit that
answers no better than chance may stand at 0.8 of the way from there to its model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.experiment.experiment import Alive, Experiment, faithfulness
from circuit_sparsity.tasks.task import answer_margin

STILL = 1e-6  # standard deviation of margins below which they do not vary
RESAMPLES = 1000
INTERVAL = (0.025, 0.975)

Rows = Int[Tensor, " row"]
Figure = Callable[[Rows], float | None]


@dataclass(frozen=True)
class Anchors:
    """What a circuit does beyond guessing. None is what is not defined."""

    constant_loss: float  # of the best constant guess, in nats per sequence
    faithfulness: float | None  # 0 is that guess, 1 the model
    completeness: float | None  # the same of the model without the circuit
    by_margin: float | None  # mean margin of the circuit over that of the model
    margin_correlation: tuple[float | None, float | None]  # within either half of the prompts
    accuracies: tuple[float, float, float]  # of the model, the circuit, the model without it
    cpr: float | None = None  # over the published fractions, on the prompts of the curve
    cmd: float | None = None
    cpr_log: float | None = None
    cmd_log: float | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """What four runs answer: the model, the circuit, the empty circuit, all but the circuit."""

    model: Float[Tensor, "prompt vocab"]
    circuit: Float[Tensor, "prompt vocab"]
    empty: Float[Tensor, "prompt vocab"]
    rest: Float[Tensor, "prompt vocab"]
    right: Int[Tensor, " prompt"]
    wrong: Int[Tensor, " prompt"]

    @classmethod
    def of(cls, experiment: Experiment, step: Callable[[], None] = lambda: None) -> "Answers":
        """Run the four; ``step`` is called before each."""
        kept = experiment.alive
        nothing = {place: torch.zeros_like(mask) for place, mask in kept.items()}
        others = {place: ~mask for place, mask in kept.items()}

        def logits(alive: Alive | None) -> Float[Tensor, "prompt vocab"]:
            step()
            return experiment.logits(alive)

        return cls(
            logits(None),
            logits(kept),
            logits(nothing),
            logits(others),
            experiment.batch.right,
            experiment.batch.wrong,
        )

    def margins(self, logits: Float[Tensor, "prompt vocab"]) -> Float[Tensor, " prompt"]:
        """Logit of the right answer less that of the wrong one."""
        return answer_margin(logits, self.right, self.wrong).double()


def best_constant_guess(right: Int[Tensor, " prompt"], wrong: Int[Tensor, " prompt"]) -> float:
    """The least mean loss of logits that are the same for every prompt, in nats per sequence.

    ln 2 where, as in pairs, each answer is as often right as wrong.

    >>> round(best_constant_guess(torch.tensor([4, 4, 4, 5]), torch.tensor([5, 5, 5, 4])), 4)
    0.5623
    """
    tokens, places = torch.cat((right, wrong)).unique(return_inverse=True)
    is_right, is_wrong = places[: len(right)], places[len(right) :]
    logits = torch.zeros(len(tokens), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Float[Tensor, ""]:
        optimiser.zero_grad()
        found = F.softplus(logits[is_wrong] - logits[is_right]).mean()
        found.backward()
        return found

    with torch.enable_grad():
        optimiser.step(loss)
        return float(loss().detach())


def anchors(answers: Answers) -> Anchors:
    """The circuit's figures beside a constant guess, from what four runs answer."""
    model, circuit, rest = (
        answers.margins(logits) for logits in (answers.model, answers.circuit, answers.rest)
    )
    guess = best_constant_guess(answers.right, answers.wrong)
    of_model = loss_of(model)
    return Anchors(
        constant_loss=guess,
        faithfulness=faithfulness(loss_of(circuit), of_model, guess),
        completeness=faithfulness(loss_of(rest), of_model, guess),
        by_margin=_ratio(float(circuit.mean()), float(model.mean())),
        margin_correlation=within_classes(circuit, model),
        accuracies=(accuracy_of(model), accuracy_of(circuit), accuracy_of(rest)),
    )


def within_classes(
    one: Float[Tensor, " prompt"], other: Float[Tensor, " prompt"]
) -> tuple[float | None, float | None]:
    """Pearson's correlation over either half of the prompts; None where one does not vary.

    Over all prompts together any two runs that answer right correlate: the classes do it.
    """
    half = len(one) // 2
    return _correlation(one[:half], other[:half]), _correlation(one[half:], other[half:])


def loss_of(margins: Float[Tensor, " prompt"]) -> float:
    """Mean two-way loss in nats per sequence."""
    return float(F.softplus(-margins).mean())


def accuracy_of(margins: Float[Tensor, " prompt"]) -> float:
    """Share of prompts whose right answer has the larger logit; a tie is half."""
    return float(((margins > 0).double() + 0.5 * (margins == 0).double()).mean())


def intervals(answers: Answers, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95% bootstrap intervals, by the name of the measure, over pairs of prompts.

    A pair is drawn as a whole: its two prompts are no two independent draws. Resamples in which a
    ratio is undefined are left out of its interval; a measure with none left has no interval.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = len(answers.right) // 2
    drawn = torch.randint(pairs, (RESAMPLES, pairs), generator=generator)
    found: dict[str, tuple[float, float]] = {}
    rows = [torch.cat((some, some + pairs)) for some in drawn]
    for name, figure in _figures(answers).items():
        values = [value for some in rows if (value := figure(some)) is not None]
        if values:
            low, high = torch.tensor(values).quantile(torch.tensor(INTERVAL)).tolist()
            found[name] = (low, high)
    return found


def _figures(answers: Answers) -> Mapping[str, Figure]:
    """By name, what computes each measure from some of the prompts."""
    runs = {"model": answers.model, "circuit": answers.circuit}
    margins = {name: answers.margins(logits) for name, logits in runs.items()}
    margins |= {"empty": answers.margins(answers.empty), "rest": answers.margins(answers.rest)}
    losses = {name: F.softplus(-margin) for name, margin in margins.items()}
    right = {name: (margin > 0).double() for name, margin in margins.items()}
    p, q = (logits.double().log_softmax(dim=-1) for logits in runs.values())
    kl = (p.exp() * (p - q)).sum(dim=-1)
    same = (right["model"] == right["circuit"]).double()
    same_full = (answers.model.argmax(-1) == answers.circuit.argmax(-1)).double()
    guess = best_constant_guess(answers.right, answers.wrong)

    def mean(values: Float[Tensor, " prompt"]) -> Figure:
        return lambda some: float(values[some].mean())

    def faithful(name: str, anchor: float | None = None) -> Figure:
        def figure(some: Rows) -> float | None:
            low = float(losses["empty"][some].mean()) if anchor is None else anchor
            return faithfulness(
                float(losses[name][some].mean()), float(losses["model"][some].mean()), low
            )

        return figure

    return {
        "model_loss": mean(losses["model"]),
        "sufficiency": mean(losses["circuit"]),
        "empty_loss": mean(losses["empty"]),
        "necessity": mean(losses["rest"]),
        "faithfulness": faithful("circuit"),
        "completeness": faithful("rest"),
        "faithfulness_of_guess": faithful("circuit", guess),
        "completeness_of_guess": faithful("rest", guess),
        "kl": mean(kl),
        "exact_match": mean(same),
        "exact_match_full": mean(same_full),
        "model_accuracy": mean(right["model"]),
        "circuit_accuracy": mean(right["circuit"]),
        "rest_accuracy": mean(right["rest"]),
    }


def _ratio(one: float, other: float) -> float | None:
    return None if abs(other) < STILL else one / other


def _correlation(one: Float[Tensor, " n"], other: Float[Tensor, " n"]) -> float | None:
    a, b = one.double() - one.double().mean(), other.double() - other.double().mean()
    if len(one) < 3 or min(float(a.std()), float(b.std())) < STILL:
        return None
    return float((a * b).sum() / (a.norm() * b.norm()))

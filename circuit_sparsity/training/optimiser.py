"""One optimiser step: gradient to RMS 1, Adam, projection to the largest weights, decay."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from circuit_sparsity.core.model import GPT
from circuit_sparsity.kernels import top_k_mask_flat
from circuit_sparsity.training.settings import TrainSettings


def density_at(step: int, steps: int, target: float, anneal: float) -> float:
    """Fraction of weights alive after ``step`` of ``steps``: linear from 1 down to ``target``.

    The target is reached after the first ``anneal`` of the run and kept.

    >>> [round(density_at(step, 100, target=0.1, anneal=0.5), 3) for step in (0, 25, 50, 99)]
    [1.0, 0.55, 0.1, 0.1]
    """
    done = min(1.0, step / (anneal * steps)) if anneal > 0 else 1.0
    return 1.0 + (target - 1.0) * done


def sharkfin(step: int, steps: int, warm_up: float, alive: float) -> float:
    """Factor on the learning rate: warm-up × linear decay to 0 × sqrt(final L0 / L0 now).

    ``alive`` is L0 now over its final value (1 at the end), so the rate grows as weights go.

    >>> sharkfin(0, 100, warm_up=0.01, alive=25.0), sharkfin(50, 100, warm_up=0.01, alive=1.0)
    (0.2, 0.5)
    """
    warm = min(1.0, (step + 1) / max(1.0, warm_up * steps))
    return warm * (1 - step / steps) * alive**-0.5


def alive_mask(
    weight: Float[Tensor, "row column"], k: int, at_least: int = 0, along: int = 1
) -> Bool[Tensor, "row column"]:
    """Which ``k`` entries stay: the largest in magnitude, but ``at_least`` so many in each line.

    ``along=1`` protects rows, ``along=0`` columns. Each line's protected entries are its own
    largest; the rest of the budget goes to the largest of all others. Where ``k`` is too small to
    protect every line, fewer (possibly none) are protected, so that exactly ``k`` stay.

    >>> weight = torch.tensor([[9.0, 8.0, 7.0], [0.3, 0.2, 0.1]])
    >>> alive_mask(weight, 3).int().tolist()
    [[1, 1, 1], [0, 0, 0]]
    >>> alive_mask(weight, 3, at_least=1).int().tolist()
    [[1, 1, 0], [1, 0, 0]]
    """
    if k >= weight.numel():
        return torch.ones_like(weight, dtype=torch.bool)
    lines = weight.shape[1 - along]
    protect = min(at_least, k // lines, weight.shape[along])
    mask = top_k_mask_flat(weight, k)
    if protect == 0 or bool((mask.sum(dim=along) >= protect).all()):
        return mask
    best = weight.abs().topk(protect, dim=along).indices
    protected = torch.zeros_like(weight, dtype=torch.bool).scatter_(along, best, True)
    # Protected entries outrank every other, then magnitude decides.
    lifted = weight.abs() + protected * (weight.abs().max() + 1)
    return top_k_mask_flat(lifted, k)


@dataclass(frozen=True)
class Group:
    """A parameter and what the projection does to it."""

    name: str
    parameter: nn.Parameter
    target: float  # final density
    protect: int | None  # axis along which each line keeps some weights; None: no line does
    decays: bool


def groups(model: GPT, settings: TrainSettings) -> list[Group]:
    """Each learned parameter with its final density (gains of norms and sink logits stay dense)."""
    return [_group(name, p, settings) for name, p in model.named_parameters() if p.requires_grad]


def _group(name: str, parameter: nn.Parameter, settings: TrainSettings) -> Group:
    if name == "bigram_table":
        return Group(name, parameter, settings.bigram_density, None, False)
    if ".ln_" in name or "sink_logit" in name:
        return Group(name, parameter, 1.0, None, False)
    if parameter.dim() == 1 or name in _EMBEDDINGS:
        decays = parameter.dim() == 2
        return Group(name, parameter, settings.embedding_density, None, decays)
    # A neuron or attention channel is a row of the reading maps and a column of the writing ones.
    protect = 0 if name.endswith("c_proj.weight") else 1
    return Group(name, parameter, settings.weight_density, protect, True)


_EMBEDDINGS = ("transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight")


class SparseAdam:
    """Adam whose weights are cut to the largest after every step; moments stay dense."""

    def __init__(self, model: GPT, settings: TrainSettings) -> None:
        self.settings = settings
        self.groups = groups(model, settings)
        self.final_alive = sum(_count(group, group.target) for group in self.groups)
        self.adam = torch.optim.Adam(
            [group.parameter for group in self.groups],
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            fused=True,
        )

    def alive(self, step: int) -> int:
        """L0 that the schedule asks for after ``step``."""
        return sum(_count(group, self._density(group, step)) for group in self.groups)

    @torch.no_grad()
    def step(self, step: int) -> None:
        """Use the gradients in place: scale, update, project, decay."""
        settings = self.settings
        scale_to_unit_rms([group.parameter.grad for group in self.groups])
        factor = sharkfin(
            step, settings.steps, settings.warm_up, self.alive(step) / self.final_alive
        )
        rate = settings.learning_rate * factor
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()  # pyright: ignore[reportUnknownMemberType]  # torch leaves a type open
        for group in self.groups:
            self._project(group, step)
            if group.decays:
                group.parameter.mul_(1 - rate * settings.weight_decay)

    def _density(self, group: Group, step: int) -> float:
        return density_at(step + 1, self.settings.steps, group.target, self.settings.anneal)

    def _project(self, group: Group, step: int) -> None:
        k = _count(group, self._density(group, step))
        if k >= group.parameter.numel():
            return
        weight = group.parameter if group.parameter.dim() == 2 else group.parameter[None]
        at_least = self.settings.at_least if group.protect is not None else 0
        mask = alive_mask(weight.detach(), k, at_least, group.protect or 0)
        group.parameter.mul_(mask.view_as(group.parameter))


def scale_to_unit_rms(gradients: list[Tensor | None]) -> None:
    """Scale all gradients by one factor so that their root mean square becomes 1."""
    present = [gradient for gradient in gradients if gradient is not None]
    total = torch.stack([gradient.square().sum() for gradient in present]).sum()
    count = sum(gradient.numel() for gradient in present)
    factor = (count / total.clamp(min=1e-30)).sqrt()
    for gradient in present:
        gradient.mul_(factor)


def _count(group: Group, density: float) -> int:
    return max(1, round(density * group.parameter.numel()))

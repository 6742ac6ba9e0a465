"""One optimiser step: gradient to RMS 1, Adam, projection to the largest weights, decay."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from circuit_sparsity.model import GPT
from circuit_sparsity.training.projection import alive_mask
from circuit_sparsity.training.schedules import density_at, sharkfin
from circuit_sparsity.training.settings import TrainSettings


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
        self.adam.step()
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

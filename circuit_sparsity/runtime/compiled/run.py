"""What a compiled circuit answers once it is bound to prompts, whichever way it computes."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, Protocol, get_args, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.names import Node

Ablation = Collection[Node | Edge]  # nodes and edges that are ablated together
Fill = Literal["mean", "zero"]  # what an ablated node is held at, and an edge's source is seen as


def check_fill(fill: str) -> None:
    """ValueError for what is no `Fill`.

    >>> check_fill("means")
    Traceback (most recent call last):
    ValueError: fill is 'means'; expected one of mean, zero
    """
    if fill not in get_args(Fill):
        raise ValueError(f"fill is {fill!r}; expected one of {', '.join(get_args(Fill))}")


@runtime_checkable
class Prompts(Protocol):
    """Prompts padded on the right, and the two tokens that each is asked about."""

    @property
    def tokens(self) -> Int[Tensor, "prompt pos"]: ...

    @property
    def last(self) -> Int[Tensor, " prompt"]: ...

    @property
    def right(self) -> Int[Tensor, " prompt"]: ...

    @property
    def wrong(self) -> Int[Tensor, " prompt"]: ...


class CircuitRun(ABC):
    """A circuit on prompts: its answers with any of its nodes and edges ablated.

    An edge is ablated by holding its source at its mean *as this one target sees it*. For a target
    that reads its source directly the contribution ``w·x`` becomes ``w·mean``. A value reaches its
    target through attention, so there the mean is mixed by the same attention pattern; what goes
    to a sink is lost to the mean as it is to the value. Ablating every weight from a node into the
    next location together is therefore the same as ablating the node. (Every weight: in a model
    with a top-k, targets that are not kept still compete with those that are.)

    Safe to share between threads.
    """

    circuit: Circuit

    @abstractmethod
    def _margins(self, ablations: Sequence[Ablation], fill: Fill) -> Float[Tensor, "set prompt"]:
        """Logit of the right answer less that of the wrong one; the ablations are checked."""

    def margins_without(
        self, ablations: Sequence[Ablation], fill: Fill = "mean"
    ) -> Float[Tensor, "set prompt"]:
        """For each ablation, the right answer's logit less the wrong one's.

        The empty ablation is the circuit itself; a part named twice goes once. Raises ValueError
        for a node that the circuit does not keep, for an edge that does not join two kept ones, and
        for an unknown ``fill``.
        """
        check_fill(fill)
        once = [tuple(dict.fromkeys(ablated)) for ablated in ablations]
        for ablated in once:
            self.circuit.require(_ends(ablated))
        return self._margins(once, fill)

    def losses_without(
        self, ablations: Sequence[Ablation], fill: Fill = "mean"
    ) -> Float[Tensor, "set prompt"]:
        """For each ablation the two-way cross-entropy of every prompt, in nats."""
        return F.softplus(-self.margins_without(ablations, fill))

    def margins(self) -> Float[Tensor, " prompt"]:
        """The circuit's own margins."""
        return self.margins_without([()])[0]

    def losses(self) -> Float[Tensor, " prompt"]:
        """The circuit's own two-way cross-entropy on every prompt, in nats."""
        return F.softplus(-self.margins())


def _ends(ablated: Ablation) -> Iterable[Node]:
    for part in ablated:
        yield from (part.source, part.target) if isinstance(part, Edge) else (part,)

"""What can be said of a node at a glance: what it fires on, reads, writes and costs."""

from dataclasses import dataclass

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Effect, Experiment
from circuit_sparsity.nodes.firing import Firing, TokenMean
from circuit_sparsity.nodes.weights import into, out_of, require_node
from circuit_sparsity.runtime.compiled import Fill

_TOKENS = 4


@dataclass(frozen=True)
class NodeNeighbours:
    """What a node reads, or what it writes: in the circuit and in the whole model."""

    kept: tuple[Neighbour, ...]  # weights first, strongest first
    every: tuple[Neighbour, ...]


@dataclass(frozen=True)
class NodeCard:
    """Measured facts of one node; `plots.card` puts them into words."""

    node: Node
    is_kept: bool  # by the circuit
    share_of_zeros: float  # of the tokens of the text it was measured on
    mean: float
    tokens: tuple[TokenMean, ...]  # furthest from the mean first
    measured_on: str  # in words
    reads: NodeNeighbours
    writes: NodeNeighbours
    cost: Effect  # of ablating it alone; of adding it, where the circuit does not keep it
    prompts: str  # what the cost was measured on, in words


def card(
    experiment: Experiment, node: Node, firing: Firing, measured_on: str, fill: Fill = "mean"
) -> NodeCard:
    """The card of ``node``, which did ``firing`` on a text that ``measured_on`` names.

    Raises ValueError for a node that the model does not have.
    """
    model, circuit = experiment.model, experiment.circuit
    require_node(model, node)
    is_kept = circuit.keeps(node)
    cost = experiment.ablate([node], fill) if is_kept else experiment.add_each([node])[0]
    return NodeCard(
        node,
        is_kept,
        firing.counts.share_of_zeros,
        firing.mean,
        firing.by_token(_TOKENS),
        measured_on,
        _neighbours(circuit, into(model, node)),
        _neighbours(circuit, out_of(model, node)),
        cost,
        experiment.batch_name,
    )


def _neighbours(circuit: Circuit, every: tuple[Neighbour, ...]) -> NodeNeighbours:
    return NodeNeighbours(tuple(near for near in every if circuit.keeps(near.node)), every)

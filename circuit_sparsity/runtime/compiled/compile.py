"""From a circuit to something that answers prompts."""

from dataclasses import dataclass

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT
from circuit_sparsity.runtime.compiled.fold import Folded, can_fold
from circuit_sparsity.runtime.compiled.folded_run import folded_run
from circuit_sparsity.runtime.compiled.masked_run import full_run
from circuit_sparsity.runtime.compiled.numbering import Numbering
from circuit_sparsity.runtime.compiled.run import CircuitRun, Prompts


@dataclass(frozen=True, eq=False)
class CompiledCircuit:
    """A circuit folded with its model and means; the model must not change afterwards."""

    circuit: Circuit
    model: GPT
    means: Means
    folded: Folded | None  # None for models that do not fold: those run in full

    def on(self, prompts: Prompts, apart: bool = False) -> CircuitRun:
        """This circuit bound to ``prompts``: a ``TaskBatch``, or anything with its four fields.

        ``apart``: beginnings that prompts share are computed for each, so that a node can be
        changed at single tokens of one.
        """
        if self.folded is None:
            return full_run(self.circuit, self.model, self.means, prompts)
        return folded_run(self.circuit, self.folded, prompts, apart)


def compile_circuit(circuit: Circuit, model: GPT, means: Means) -> CompiledCircuit:
    """``circuit`` ready to run at the cost of what it keeps, equal to the masked full model.

    Raises ValueError when circuit or means belong to a model of another shape.
    """
    circuit.masks(model.config)
    means.check(model.config)
    folded = Folded(Numbering(circuit, model.config), model, means) if can_fold(model) else None
    return CompiledCircuit(circuit, model, means, folded)

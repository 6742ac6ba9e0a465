"""Circuits as figures in one call, for notebooks: an experiment in, a Plotly figure out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from plotly.graph_objects import Figure

from circuit_sparsity.circuits.comparison import Comparison
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.experiment.experiment import Effect, Experiment
from circuit_sparsity.export.investigation import MOST_NODES, Investigation
from circuit_sparsity.plots.colours import LIGHT, Palette
from circuit_sparsity.plots.compare import compare_figure
from circuit_sparsity.plots.standalone import investigation_figure

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def draw(
    circuit: Experiment,
    effect: Effect | None = None,
    labels: Mapping[str, str] = _NOTHING,
    palette: Palette = LIGHT,
) -> Figure:
    """The circuit, each node in the colour of what ablating it alone costs, measured now.

    The parts of ``effect`` are marked; ``labels``, by name of a node, are shown on hovering.
    Circuits of more than 512 nodes are drawn without costs: their measuring takes long.
    """
    nodes = circuit.circuit.node_list if circuit.circuit.size <= MOST_NODES else ()
    rises = {one.parts[0]: one.delta for one in circuit.ablate_each(nodes)}
    on = circuit.batch_name if rises else ""
    return investigation_figure(
        Investigation(circuit, rises=rises, rises_on=on, effect=effect, labels=labels), palette
    )


def draw_both(a: Experiment, b: Experiment, palette: Palette = LIGHT) -> Figure:
    """Two circuits in one graph: what both have, and what only one of them has.

    Raises ValueError when their models have other shapes, so that no node is the same.
    """
    one, other = a.model.config, b.model.config
    for name in ("n_layer", "d_model", "d_mlp", "n_head", "d_head", "d_pos_emb"):
        if getattr(one, name) != getattr(other, name):
            raise ValueError(
                f"{a.circuit.model} has {name} {getattr(one, name)}, {b.circuit.model} has "
                f"{getattr(other, name)}; expected two models of one shape"
            )
    found = Comparison(wiring(a.circuit, a.model), wiring(b.circuit, b.model))
    return compare_figure(found, one, palette, (a.circuit.title, b.circuit.title))

"""The whole circuit or one block of it: what the graph shows."""

from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, Link
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.layout import Layout, lay_out
from circuit_sparsity.plots.words import block_label
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import Sight

Join = TypeVar("Join", Edge, Link)

BLOCK = "block"  # the widget's key and the address's parameter
_WHOLE = "whole circuit"


@dataclass(frozen=True, eq=False)
class BlockSight:
    """One block of a circuit, with the edges and links inside it."""

    circuit: Circuit
    config: GPTConfig
    wiring: Wiring
    layout: Layout


def chosen(scene: Sight) -> Sight:
    """What the picker says to show; the address holds it."""
    blocks = {block_label(node.location): node.location.block_name for node in scene.wiring.nodes}
    options = [_WHOLE, *blocks]
    if st.session_state.get(BLOCK, st.query_params.get(BLOCK, _WHOLE)) not in options:
        st.session_state[BLOCK] = _WHOLE
    asked = st.selectbox(
        "Show",
        options,
        **bound(BLOCK, _WHOLE),
        width=150,
        help="One block alone is drawn larger: its reads, what is between, and its writes. What "
        "is switched off elsewhere stays so.",
    )
    if asked not in blocks:
        return scene
    return _part(scene, cached.identity(scene), blocks[asked])


@st.cache_resource(max_entries=64, show_spinner=False)
def _part(_scene: Sight, identity: int, block: str) -> BlockSight:
    wiring = _scene.wiring
    nodes = tuple(node for node in wiring.nodes if node.location.block_name == block)
    inside = set(nodes)
    edges, residual = _inside(wiring.edges, inside), _inside(wiring.residual, inside)
    part = Wiring(nodes, edges, residual, _inside(wiring.attention, inside))
    joins = [(edge.source, edge.target) for edge in edges]
    layout = lay_out(nodes, joins, _scene.config.d_head)
    return BlockSight(_scene.circuit, _scene.config, part, layout)


def _inside(joins: tuple[Join, ...], nodes: set[Node]) -> tuple[Join, ...]:
    return tuple(join for join in joins if join.source in nodes and join.target in nodes)

"""An attribution graph in the JSON that circuit-tracer and Neuronpedia open, and back from it.

Conventions of both: a node's id is layer_feature_position. A layer here is half a layer of the
model (attention, MLP), so that eight places do not fold onto one row; a feature is the place's
number in it times a stride, plus the channel. A node's rest is an error node of its place and
token. Query-key links are apart from the sums and are left out: the format has no kinds of links.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Location, Node, circuit_locations
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.patching.graph import RULES, AttributionGraph

_NEXT_TO_NOTHING = 1e-7  # a link or a rest that is left out


@dataclass(frozen=True)
class Groups:
    """What a reader of a graph has pinned, and which vertices stand together under a caption."""

    pinned: tuple[int, ...] = ()
    supernodes: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, eq=False)
class GraphDocument:
    """How vertices of one graph are called in the file."""

    graph: AttributionGraph
    circuit: Circuit
    config: GPTConfig
    tokenizer: Tokenizer
    labels: Mapping[Node, str]

    def text(self, token: int) -> str:
        return self.tokenizer.decode([token])

    def words(self, vertex: int) -> str:
        """A node and its token, an embedding, or the answer."""
        graph, length = self.graph, len(self.graph.tokens)
        if vertex == graph.answer:
            return f"{self.text(graph.right)!r} against {self.text(graph.wrong)!r}"
        number, position = divmod(vertex, length)
        token = f"{position} {self.text(graph.tokens[position])!r}"
        if number == len(graph.parts):
            return f"embedding at {token}"
        return f"{graph.parts[number]} at {token}"

    @property
    def slug(self) -> str:
        """The name of the graph: its circuit and its prompt."""
        parts = (self.circuit.model, self.circuit.task, self.circuit.sweep, self.circuit.k)
        return "-".join((*parts, f"prompt{self.graph.prompt}")).replace("_", "-").lower()

    def feature(self, location: Location, channel: int) -> int:
        """Within its half of a layer; the channel after the widest stands for the rest."""
        places = [p for p in circuit_locations(self.config.n_layer) if p.layer == location.layer]
        places = [place for place in places if place.block == location.block]
        return places.index(location) * (self.widest + 1) + channel

    @property
    def widest(self) -> int:
        """How many channels the widest location has."""
        return max(self.config.width(p) for p in circuit_locations(self.config.n_layer))

    def layer(self, location: Location) -> int:
        """Counted in halves; the end comes after all of them."""
        if location.layer is None:
            return 2 * self.config.n_layer
        return 2 * location.layer + (location.block == "mlp")

    def name(self, vertex: int) -> str:
        """The id of a vertex."""
        graph, length = self.graph, len(self.graph.tokens)
        if vertex == graph.answer:
            return f"{2 * self.config.n_layer + 1}_{graph.right}_{length - 1}"
        number, position = divmod(vertex, length)
        if number == len(graph.parts):
            return f"E_{graph.tokens[position]}_{position}"
        node = graph.parts[number]
        feature = self.feature(node.location, node.channel)
        return f"{self.layer(node.location)}_{feature}_{position}"

    def rest_name(self, vertex: int) -> str:
        """The id of the rest of a vertex: one for all of a place's nodes at a token."""
        length = len(self.graph.tokens)
        if vertex == self.graph.answer:
            return f"{2 * self.config.n_layer}_{4 * (self.widest + 1)}_{length - 1}"
        number, position = divmod(vertex, length)
        location = self.graph.parts[number].location
        return f"{self.layer(location)}_{self.feature(location, self.widest)}_{position}"


NO_GROUPS = Groups()


def graph_document(
    document: GraphDocument, share: float = 1.0, groups: Groups = NO_GROUPS
) -> dict[str, Any]:
    """The JSON object: metadata, state of the view, nodes and links.

    ``share`` keeps the fewest vertices with that share of all influence; pinned and grouped ones
    always stay. ValueError for a share outside 0 to 1.
    """
    graph = document.graph
    kept = graph.pruned(share)
    kept[[*groups.pinned, *(v for _, some in groups.supernodes for v in some)]] = True
    vertices: list[int] = kept.nonzero().flatten().tolist()
    influence: list[float] = graph.influence().tolist()
    nodes = [_vertex(document, vertex, influence[vertex]) for vertex in vertices]
    adds = (graph.rule != RULES.index("query-key")) & (graph.weight.abs() > _NEXT_TO_NOTHING)
    adds &= kept[graph.source] & kept[graph.target]
    columns = (part[adds].tolist() for part in (graph.source, graph.target, graph.weight))
    links = [
        {"source": document.name(source), "target": document.name(target), "weight": weight}
        for source, target, weight in zip(*columns, strict=True)
    ]
    rests, more = _rests(document, vertices)
    prompt = document.tokenizer.decode(list(graph.tokens))
    return {
        "metadata": {
            "slug": document.slug,
            "scan": document.circuit.model,
            "transcoder_list": [],
            "prompt_tokens": [document.text(token) for token in graph.tokens],
            "prompt": prompt,
            "schema_version": 1,
            "info": {"description": f"{document.circuit.title}, prompt {graph.prompt}"},
        },
        "qParams": {
            "pinnedIds": [document.name(vertex) for vertex in groups.pinned],
            "supernodes": [
                [caption, *(document.name(vertex) for vertex in some)]
                for caption, some in groups.supernodes
            ],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": [*nodes, *rests],
        "links": [*links, *more],
    }


def _vertex(document: GraphDocument, vertex: int, influence: float) -> dict[str, Any]:
    graph, length = document.graph, len(document.graph.tokens)
    shared = {"node_id": document.name(vertex), "influence": influence, "activation": None}
    if vertex == graph.answer:
        right, wrong = document.text(graph.right), document.text(graph.wrong)
        probability = float(torch.sigmoid(torch.tensor(graph.log_odds)))
        return shared | {
            "feature": graph.right,
            "layer": str(2 * document.config.n_layer + 1),
            "ctx_idx": length - 1,
            "feature_type": "logit",
            "token_prob": probability,
            "is_target_logit": True,
            "clerp": f"Output {right!r} against {wrong!r} (p={probability:.3f})",
            "jsNodeId": f"L_{graph.right}-{length - 1}",
        }
    number, position = divmod(vertex, length)
    shared |= {"ctx_idx": position, "token_prob": 0.0, "is_target_logit": False}
    if number == len(graph.parts):
        token = graph.tokens[position]
        return shared | {
            "feature": token,
            "layer": "E",
            "feature_type": "embedding",
            "clerp": f"Emb: {document.text(token)!r}",
            "jsNodeId": f"E_{token}-{position}",
        }
    node = graph.parts[number]
    layer, feature = document.layer(node.location), document.feature(node.location, node.channel)
    label = document.labels.get(node)
    return shared | {
        "feature": feature,
        "layer": str(layer),
        "feature_type": "cross layer transcoder",
        "activation": float(graph.deviation[vertex]),
        "clerp": f"{node}: {label}" if label else str(node),
        "jsNodeId": f"{layer}_{feature}-{position}",
    }


def _rests(
    document: GraphDocument, vertices: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Error nodes for the rests of vertices, and their links."""
    nodes, links = dict[str, dict[str, Any]](), list[dict[str, Any]]()
    for vertex in vertices:
        rest = float(document.graph.rest[vertex])
        if abs(rest) <= _NEXT_TO_NOTHING:
            continue
        name = document.rest_name(vertex)
        layer, feature, position = name.split("_")
        nodes[name] = {
            "node_id": name,
            "feature": int(feature),
            "layer": layer,
            "ctx_idx": int(position),
            "feature_type": "mlp reconstruction error",
            "clerp": "rest: means, biases, top-k, the norm's and the activation's curve",
            "jsNodeId": f"{layer}_{feature}-{position}",
            "influence": None,
            "activation": None,
            "token_prob": 0.0,
            "is_target_logit": False,
        }
        links.append({"source": name, "target": document.name(vertex), "weight": rest})
    return list(nodes.values()), links


def read_groups(document: GraphDocument, told: Mapping[str, Any]) -> Groups:
    """Pins and supernodes of a file that was written for this graph, and changed by a viewer since.

    Raises ValueError for a file of another model, prompt or circuit, and for an id that is not in
    it.
    """
    metadata = told.get("metadata")
    slug = metadata.get("slug") if isinstance(metadata, Mapping) else None
    if slug != document.slug:
        raise ValueError(
            f"the file is of the graph {slug!r}; expected {document.slug!r}: open the circuit and "
            "prompt that it was made of"
        )
    vertices = {document.name(vertex): vertex for vertex in range(document.graph.answer + 1)}
    params = told.get("qParams")
    if not isinstance(params, Mapping):
        raise ValueError("the file has no qParams; expected pinnedIds and supernodes there")
    state = cast("Mapping[str, Any]", params)
    pinned = tuple(_known(vertices, name) for name in state.get("pinnedIds", ()))
    supernodes = tuple(
        (str(caption), tuple(_known(vertices, name) for name in names))
        for caption, *names in state.get("supernodes", ())
    )
    return Groups(pinned, supernodes)


def _known(vertices: Mapping[str, int], name: object) -> int:
    if not isinstance(name, str) or name not in vertices:
        raise ValueError(f"the file names the node {name!r}, which is not in this graph")
    return vertices[name]

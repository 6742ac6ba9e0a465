"""Every rule of liveness, on the smallest model that shows it."""

import torch

from circuit_sparsity.circuits.circuit import from_masks
from circuit_sparsity.circuits.means import Means, zeros
from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.pruning.dangling import Liveness
from tests.handmade import blank, circuit_of, marked_model, put, sign_model

READ_0 = ("0.attn.act_in:0",)
C_ATTN, C_PROJ = "transformer.h.0.attn.c_attn.weight", "transformer.h.0.attn.c_proj.weight"
C_FC, DOWN = "transformer.h.0.mlp.c_fc.weight", "transformer.h.0.mlp.c_proj.weight"
Q, K, V = 0, 1, 2  # rows of c_attn in a model of one attention channel


def live(
    model: GPT, *nodes: str, means: dict[str, list[float]] | None = None, readout: int = 1
) -> set[str]:
    """Which of ``nodes`` are live where the answers differ in channel ``readout``."""
    values = dict(zeros(model.config).values)
    for name, mean in (means or {}).items():
        values[Location.parse(name)] = torch.tensor(mean)
    reads = torch.arange(model.config.d_model) == readout
    liveness = Liveness(model, Means(values), reads)
    found = from_masks(liveness.live(circuit_of(model.config, nodes).masks(model.config)))
    return {str(Node(place, channel)) for place, kept in found.items() for channel in kept}


def embedding(model: GPT) -> GPT:
    """Channel 0 varies between tokens; the others are constant."""
    put(model, "transformer.wte.weight", (1, 0, 1.0), (2, 0, -1.0))
    model.get_parameter("transformer.wte.weight")[:, 1] = 7.0
    return model


def head(**options: object) -> GPT:
    """Channel 0 is read by q, k and v; the head writes channel 1."""
    model = embedding(blank(**options))
    put(model, C_ATTN, (Q, 0, 1.0), (K, 0, 1.0), (V, 0, 1.0))
    put(model, C_PROJ, (1, 0, 1.0))
    return model


VALUE_PATH = (*READ_0, "0.attn.v:0", "0.attn.resid_delta:1", "final_resid:1")


def test_handmade_circuits_are_live_and_their_distractors_are_not() -> None:
    for made in (sign_model(), marked_model(), marked_model(sink=True)):
        config = made.model.config
        liveness = Liveness(made.model, made.means, torch.arange(config.d_model) == 1)
        everything = {place: torch.ones_like(m) for place, m in made.circuit.masks(config).items()}
        expected = made.circuit.masks(config)
        for place, mask in liveness.live(everything).items():
            assert mask.tolist() == expected[place].tolist(), place


def test_a_lone_chain_from_embedding_to_answer_is_live() -> None:
    assert live(head(), *VALUE_PATH) == set(VALUE_PATH)


def test_a_chain_broken_anywhere_is_dead_throughout() -> None:
    for missing in VALUE_PATH:
        assert live(head(), *(node for node in VALUE_PATH if node != missing)) == set()


def test_the_last_residual_is_dead_where_the_answers_do_not_differ() -> None:
    assert live(head(), *VALUE_PATH, readout=0) == set()
    assert live(head(), *VALUE_PATH, "final_resid:0") == set(VALUE_PATH)


def test_an_embedded_channel_that_the_answers_read_is_live_alone() -> None:
    assert live(head(), "final_resid:0", readout=0) == {"final_resid:0"}


def test_a_channel_that_is_the_same_for_every_token_does_not_flow() -> None:
    assert live(head(), "final_resid:1") == set()


def test_an_added_position_flows() -> None:
    model = blank()
    put(model, "transformer.wpe.weight", (3, 1, 0.5))
    assert live(model, "final_resid:1") == {"final_resid:1"}


def test_a_norm_of_weight_zero_stops_a_channel() -> None:
    model = head()
    put(model, "transformer.h.0.ln_1.weight", (0, 0.0))
    assert live(model, *VALUE_PATH) == set()
    model = head()
    put(model, "transformer.ln_f.weight", (1, 0.0))
    assert live(model, *VALUE_PATH) == set()


def test_a_concatenated_position_is_read_beyond_the_residual_channels() -> None:
    model = blank(d_pos_emb=1)
    put(model, "transformer.wpe.weight", (1, 0, 1.0))
    put(model, C_ATTN, (V, 2, 1.0))
    put(model, C_PROJ, (1, 0, 1.0))
    path = ("0.attn.act_in:2", *VALUE_PATH[1:])
    assert live(model, *path) == set(path)
    model.get_parameter("transformer.wpe.weight").zero_()
    assert live(model, *path) == set()


def test_a_key_is_live_while_its_query_is_constant_unless_that_is_zero() -> None:
    key = "0.attn.k:0"
    assert live(head(), *VALUE_PATH, key, means={"0.attn.q": [2.0]}) == {*VALUE_PATH, key}
    assert live(head(), *VALUE_PATH, key) == set(VALUE_PATH)


def test_a_value_is_live_while_its_pattern_is_constant() -> None:
    assert "0.attn.v:0" in live(head(), *VALUE_PATH)


def test_a_query_needs_a_key_in_its_channel_where_there_is_no_sink() -> None:
    query, key = "0.attn.q:0", "0.attn.k:0"
    assert live(head(), *VALUE_PATH, query, means={"0.attn.k": [2.0]}) == set(VALUE_PATH)
    assert live(head(), *VALUE_PATH, query, key) == {*VALUE_PATH, query, key}


def test_a_query_against_a_constant_key_matters_to_a_sink() -> None:
    model, query = head(sink=True), "0.attn.q:0"
    assert live(model, *VALUE_PATH, query, means={"0.attn.k": [2.0]}) == {*VALUE_PATH, query}
    assert live(model, *VALUE_PATH, query) == set(VALUE_PATH)


def test_a_constant_query_is_dead_itself() -> None:
    model = head()
    put(model, C_ATTN, (Q, 0, 0.0))
    kept = (*VALUE_PATH, "0.attn.q:0", "0.attn.k:0")
    assert live(model, *kept, means={"0.attn.q": [2.0]}) == {*VALUE_PATH, "0.attn.k:0"}


def test_without_a_value_a_pattern_is_carried_only_by_a_sink_and_a_mean() -> None:
    path = (*READ_0, "0.attn.k:0", "0.attn.resid_delta:1", "final_resid:1")
    means = {"0.attn.q": [2.0], "0.attn.v": [3.0]}
    assert live(head(sink=True), *path, means=means) == set(path)
    assert live(head(sink=False), *path, means=means) == set()
    assert live(head(sink=True), *path, means={"0.attn.q": [2.0]}) == set()


def test_a_pattern_serves_only_its_own_head() -> None:
    model = embedding(blank(n_head=2))
    # Channels of c_attn are now q0 q1 k0 k1 v0 v1.
    put(model, C_ATTN, (2, 0, 1.0), (3, 0, 1.0), (4, 0, 1.0))
    put(model, C_PROJ, (1, 0, 1.0), (1, 1, 1.0))
    means = {"0.attn.q": [2.0, 2.0]}
    kept = (*VALUE_PATH, "0.attn.k:0", "0.attn.k:1")
    assert live(model, *kept, means=means) == {*VALUE_PATH, "0.attn.k:0"}


def test_a_query_does_not_serve_a_key_in_another_channel() -> None:
    model = embedding(blank(d_head=2))
    put(model, C_ATTN, (0, 0, 1.0), (3, 0, 1.0), (4, 0, 1.0))  # q0, k1, v0
    put(model, C_PROJ, (1, 0, 1.0))
    assert live(model, *VALUE_PATH, "0.attn.q:0", "0.attn.k:1") == set(VALUE_PATH)


def test_a_read_that_no_kept_channel_takes_is_dead() -> None:
    model = head()
    put(model, C_FC, (0, 0, 1.0))
    assert live(model, *VALUE_PATH, "0.mlp.act_in:0") == set(VALUE_PATH)


def test_a_neuron_needs_a_weight_to_what_is_kept_on_both_sides() -> None:
    model = embedding(blank(d_mlp=3))
    put(model, C_FC, (0, 0, 1.0), (1, 0, 1.0), (2, 1, 1.0))
    put(model, DOWN, (1, 0, 1.0), (0, 1, 1.0), (1, 2, 1.0))
    path = ("0.mlp.act_in:0", "0.mlp.post_act:0", "0.mlp.resid_delta:1", "final_resid:1")
    # Neuron 1 writes a channel that is not kept, neuron 2 reads one that is constant.
    assert live(model, *path, "0.mlp.post_act:1", "0.mlp.post_act:2") == set(path)


def test_a_write_needs_a_later_read_of_its_channel() -> None:
    model = embedding(blank(n_layer=2))
    put(model, DOWN, (1, 0, 1.0))
    put(model, C_FC, (0, 0, 1.0))
    first = ("0.mlp.act_in:0", "0.mlp.post_act:0", "0.mlp.resid_delta:1")
    put(model, "transformer.h.1.mlp.c_fc.weight", (0, 1, 1.0))
    put(model, "transformer.h.1.mlp.c_proj.weight", (0, 0, 1.0))
    later = ("1.mlp.act_in:1", "1.mlp.post_act:0", "1.mlp.resid_delta:0", "final_resid:0")
    assert live(model, *first, *later, readout=0) == {*first, *later}
    assert live(model, *first, "final_resid:0", readout=0) == {"final_resid:0"}
    # The attention of layer 0 runs before the write: it does not read it.
    put(model, C_ATTN, (V, 1, 1.0))
    put(model, C_PROJ, (0, 0, 1.0))
    earlier = ("0.attn.act_in:1", "0.attn.v:0", "0.attn.resid_delta:0", "final_resid:0")
    assert live(model, *first, *earlier, readout=0) == {"final_resid:0"}


def test_keeping_more_never_makes_less_live() -> None:
    generator = torch.Generator().manual_seed(0)
    for sink in (False, True):
        model = blank(n_layer=2, n_head=2, d_head=2, d_model=4, d_mlp=4, sink=sink)
        for parameter in model.parameters():
            parameter.bernoulli_(0.4, generator=generator)
        layout = Layout(model.config)
        liveness = Liveness(model, zeros(model.config), torch.ones(4, dtype=torch.bool))
        order = torch.randperm(layout.size, generator=generator)
        before = torch.zeros(layout.size, dtype=torch.bool)
        for n in range(layout.size + 1):
            now = layout.join(liveness.live(layout.split(layout.first(order, n))))
            assert bool((now | ~before).all())
            before = now
        assert bool(before.any())


def test_what_is_left_of_a_circuit_with_strays_is_the_circuit() -> None:
    made = sign_model()
    extra = (*made.nodes, "0.mlp.post_act:1", "0.attn.q:0", "0.mlp.act_in:1")
    config = made.model.config
    liveness = Liveness(made.model, made.means, torch.arange(2) == 1)
    found = from_masks(liveness.live(circuit_of(config, extra).masks(config)))
    assert found == dict(made.circuit.nodes)

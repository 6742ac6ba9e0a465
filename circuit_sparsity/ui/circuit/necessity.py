"""In the recipe: what it does to the circuit alone, and to the model that runs whole otherwise."""

from dataclasses import replace

import streamlit as st

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.experiment.experiment import Experiment, Outcome
from circuit_sparsity.experiment.recipes import faithfulness_of, in_whole_model
from circuit_sparsity.ui.circuit import panels
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.messages import plain

_ASKED, _ALL = "necessity", "necessity_all"  # widgets' keys and parameters of the address
# Numbers in the residual stream. A run of so many (a fifth of a second of one core) does not hold
# up the next click; more than the second is run only where it is asked for.
_AT_ONCE, _UNASKED = 2_500_000, 10_000_000
_FEWEST = 8  # pairs
_SUFFICIENT = (
    "Mean task loss of the circuit with the recipe carried out, everything outside it at its "
    "mean, in nats per sequence. The baseline is the circuit with nothing changed."
)
_NECESSARY = (
    "Mean task loss of the **whole** model in which nothing but the recipe's steps is changed, in "
    "nats per sequence. The baseline is the whole model. Hardly a rise: the model does without "
    "these parts, and others stand in for them."
)


def section(scene: Scene, recipe: Recipe) -> None:
    """The two losses side by side, with their baselines; asked for where the model is large."""
    pairs = _pairs(scene)
    if pairs is None:
        return
    identity = cached.identity(scene)
    some = _some(scene, identity, pairs)
    circuit, model = _losses(scene, identity, str(recipe), pairs)
    with st.container(horizontal=True, gap="medium"):
        for name, before, after, meaning in (
            ("Circuit with the recipe", some.of_circuit, circuit, _SUFFICIENT),
            ("Whole model with the recipe", some.of_model, model, _NECESSARY),
        ):
            panels.change(name, before.loss, after.loss, meaning, rise_is_worse=True)
    faithful = faithfulness_of(some, circuit)
    of = "" if pairs == scene.experiment.batch.n_pairs else f"the first {pairs} pairs of "
    st.caption(
        f"Live, nats per sequence, on {of}{plain(some.batch_name)}; chance 0.6931. Faithfulness "
        f"of the circuit: {'undefined' if faithful is None else format(faithful, '.3f')}. "
        "Necessity: the whole model with only these steps carried out. With all "
        f"{scene.circuit.size:,} nodes of the circuit at their means it has "
        f"{some.of_complement.loss:.4f}."
    )


def _pairs(scene: Scene) -> int | None:
    """How many pairs of prompts to run; None where the reader has not asked for it."""
    batch, config = scene.experiment.batch, scene.config
    size = 2 * batch.tokens.shape[1] * config.d_model * config.n_layer  # of a pair
    few = min(batch.n_pairs, max(_FEWEST, _AT_ONCE // size))
    if few * size > _UNASKED and not st.toggle(
        "Necessity: change the same in the whole model",
        **bound(_ASKED, False),
        help=_NECESSARY,
    ):
        return None
    if few < batch.n_pairs and st.toggle(
        f"Circuit and whole model on all {len(batch)} prompts", **bound(_ALL, False)
    ):
        return batch.n_pairs
    return few


@st.cache_resource(max_entries=24, show_spinner="Running the whole model …")
def _some(_scene: Scene, identity: int, pairs: int) -> Experiment:
    """The circuit on the first prompts; kept as long as as many scenes are."""
    some = _scene.experiment
    if pairs < some.batch.n_pairs:
        some = replace(some, batch=some.batch.select(range(pairs)))
    _ = some.of_model, some.of_complement  # run once, under this spinner
    return some


@st.cache_resource(max_entries=512, show_spinner="Running the whole model …")
def _losses(_scene: Scene, identity: int, steps: str, pairs: int) -> tuple[Outcome, Outcome]:
    """Of the circuit and of the model with the recipe. No more is kept: there are many recipes."""
    some, recipe = _some(_scene, identity, pairs), Recipe.parse(steps.split())
    return some.apply(recipe).after, in_whole_model(some, recipe)

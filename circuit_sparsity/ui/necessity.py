"""In the recipe: what it does to the circuit alone, and to the model that runs whole otherwise."""

import streamlit as st

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.experiment import Outcome
from circuit_sparsity.recipes.effects import apply, faithfulness_of, in_whole_model
from circuit_sparsity.ui import cached, panels
from circuit_sparsity.ui.cached import Scene
from circuit_sparsity.ui.messages import plain

_ASKED = "necessity"  # the widget's key and the address's parameter
_UNASKED = 10_000_000  # numbers in the residual stream: so many pass in well under a second
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
    experiment = scene.experiment
    size = experiment.batch.tokens.numel() * scene.config.d_model * scene.config.n_layer
    wanted = size <= _UNASKED or st.toggle(
        "Necessity: change the same in the whole model",
        key=_ASKED,
        bind="query-params",
        help=_NECESSARY,
    )
    if not wanted:
        return
    circuit, model, without = _losses(scene, cached.identity(scene), str(recipe))
    with st.container(horizontal=True, gap="medium"):
        for name, before, after, meaning in (
            ("Circuit with the recipe", experiment.of_circuit, circuit, _SUFFICIENT),
            ("Whole model with the recipe", experiment.of_model, model, _NECESSARY),
        ):
            panels.change(name, before.loss, after.loss, meaning, rise_is_worse=True)
    faithful = faithfulness_of(experiment, circuit)
    st.caption(
        f"Live, nats per sequence, on {plain(experiment.batch_name)}; chance 0.6931. Faithfulness "
        f"of the circuit: {'undefined' if faithful is None else format(faithful, '.3f')}. "
        "Necessity: the whole model with only these steps carried out. With all "
        f"{scene.circuit.size:,} nodes of the circuit at their means it has {without.loss:.4f}."
    )


@st.cache_resource(max_entries=512, show_spinner="Running the whole model …")
def _losses(_scene: Scene, identity: int, steps: str) -> tuple[Outcome, Outcome, Outcome]:
    """Of the circuit and of the model with the recipe, and of the model without the circuit."""
    it, recipe = _scene.experiment, Recipe.parse(steps.split())
    return apply(it, recipe).after, in_whole_model(it, recipe), it.of_complement

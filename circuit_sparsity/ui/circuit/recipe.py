"""Under the graph: the recipe of what is changed, step by step, its effects, and its past."""

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from circuit_sparsity.circuits.recipe import HOWS, Level, Recipe, Step
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment, Outcome
from circuit_sparsity.experiment.recipes import (
    RecipeEffect,
    StepEffect,
    effects,
    faithfulness_of,
    in_whole_model,
)
from circuit_sparsity.plots.words import block_label, signed
from circuit_sparsity.ui.circuit import other_prompts
from circuit_sparsity.ui.shell import cached, history, state
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import change
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared

_FEW = 12  # steps that have fields of their own
_MOST = 48  # steps that are measured one by one
_ADD = "add_set"
_HOW_NAMES = {"mean": "mean", "zero": "zero", "set": "set to", "scale": "scale by"}
_NO_DIFFERENCE = 5e-5  # nats: less is not seen in four digits
_EFFECTS_HELP = (
    "Rise in the mean task loss over the circuit's own, in nats per sequence, on the circuit's "
    "prompts. **Alone**: this step and no other. **So far**: with all steps before it. "
    "**Interaction**: all steps together, minus the sum of what each does alone."
)


def section(view: LiveView) -> None:
    """Steps with their effects, sets to add, earlier moments, other prompts, Python."""
    recipe = state.recipe()
    st.markdown("##### Recipe", help=_EFFECTS_HELP)
    _add_set(view)
    if not len(recipe):
        st.caption(
            "Nothing is changed yet. Whatever you switch off, set or scale is listed "
            "here, in order."
        )
    elif len(recipe) <= _MOST:
        found = _effects(view, cached.identity(view), str(recipe))
        _steps(view, found)
        _together(found)
    else:
        st.caption(f"{len(recipe)} steps: only recipes of up to {_MOST} are measured step by step.")
    if len(recipe):
        _both_losses(view, recipe)
    _past(view)
    other_prompts.section(view, recipe)


@shared("Running the recipe, step by step …")
def _effects(_view: LiveView, identity: int, steps: str) -> RecipeEffect:
    return effects(_view.experiment, Recipe.parse(steps.split()))


@st.cache_resource(max_entries=512, show_spinner=False)
def _delta(_view: LiveView, identity: int, steps: str) -> float:
    return _view.experiment.apply(Recipe.parse(steps.split())).delta


def _steps(view: LiveView, found: RecipeEffect) -> None:
    for number, effect in enumerate(found.steps[:_FEW], start=1):
        _step(view, number, effect)
    if len(found.steps) > _FEW:
        with st.expander(f"All {len(found.steps)} steps", icon=":material/table:"):
            st.dataframe(
                {
                    "step": [str(effect.step) for effect in found.steps],
                    "alone, nats": [effect.alone for effect in found.steps],
                    "so far, nats": [effect.so_far for effect in found.steps],
                },
                hide_index=True,
            )


def _step(view: LiveView, number: int, effect: StepEffect) -> None:
    step = effect.step
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(f"{number}. `{step.name}`", width=290)
        _level_fields(step)
        st.markdown(
            f"alone **{signed(effect.alone, 4)}** · so far **{signed(effect.so_far, 4)}**",
            width="content",
        )
        st.button(
            "Restore",
            key=f"restore {step.name}",
            icon=":material/close:",
            type="tertiary",
            on_click=_restore,
            args=(view, step.name),
        )


def _level_fields(step: Step) -> None:
    how, value = f"how {step.name}", f"value {step.name}"
    st.session_state[how] = step.level.how
    st.selectbox(
        f"How {step.name} is held",
        HOWS,
        key=how,
        format_func=lambda one: _HOW_NAMES[one],
        label_visibility="collapsed",
        width=120,
        on_change=_change_how,
        args=(step,),
    )
    if step.level.how in ("set", "scale"):
        st.session_state[value] = step.level.value
        st.number_input(
            f"Value of {step.name}",
            key=value,
            step=0.5,
            format="%g",
            label_visibility="collapsed",
            width=130,
            on_change=_change_value,
            args=(step,),
        )


def _change_how(step: Step) -> None:
    how = st.session_state[f"how {step.name}"]
    state.hold(step.name, Level(how, 2.0 if how == "scale" else 0.0))


def _change_value(step: Step) -> None:
    state.hold(step.name, Level(step.level.how, st.session_state[f"value {step.name}"]))


def _restore(view: LiveView, name: str) -> None:
    kept = [step for step in state.recipe() if step.name != name]
    state.follow_recipe(view, Recipe(tuple(kept)))


def _together(found: RecipeEffect) -> None:
    if len(found.steps) < 2:
        return
    apart = found.interaction
    if abs(apart) < _NO_DIFFERENCE:
        says = "they do not depend on each other here"
    elif apart > 0:
        says = "together they cost more than one by one: each can stand in for the other"
    else:
        says = "together they cost less than one by one: they do the same harm, or undo each other"
    st.markdown(
        f"Together **{signed(found.delta, 4)}** nats · sum of each alone "
        f"**{signed(found.alone, 4)}** · interaction **{signed(apart, 4)}**: {says}.",
        help=_EFFECTS_HELP,
    )


def _add_set(view: LiveView) -> None:
    sets = _sets(view)
    st.selectbox(
        "Add a set",
        [f"{name}, {len(nodes)} nodes" for name, nodes in sets.items()],
        index=None,
        key=_ADD,
        placeholder="Add a set of nodes: a head, a block, a place …",
        label_visibility="collapsed",
        on_change=_add,
        args=(view, list(sets.values())),
    )


def _sets(view: LiveView) -> Mapping[str, list[Node]]:
    """Nodes that belong together: heads, blocks, places; in the order of computation."""
    found: dict[str, list[Node]] = {}
    for node in view.wiring.nodes:
        place = node.location
        if place.kind in ("q", "k", "v"):
            head = node.channel // view.config.d_head
            found.setdefault(f"head {head} of layer {place.layer}", []).append(node)
        found.setdefault(f"all of {block_label(place)}", []).append(node)
        found.setdefault(f"all of {place}", []).append(node)
    return {name: nodes for name, nodes in sorted(found.items()) if len(nodes) > 1}


def _add(view: LiveView, sets: list[list[Node]]) -> None:
    asked = st.session_state[_ADD]
    names = [f"{name}, {len(nodes)} nodes" for name, nodes in _sets(view).items()]
    if asked in names:
        recipe, level = state.recipe(), Level(state.fill())
        for node in sets[names.index(asked)]:
            if str(node) not in {step.name for step in recipe}:
                recipe = recipe.with_step(Step(node, level=level))
        state.follow_recipe(view, recipe)
    st.session_state[_ADD] = None


def _past(view: LiveView) -> None:
    moments = history.past()
    if not moments:
        return
    with st.expander(f"History: {len(moments)} earlier", icon=":material/history:"):
        st.caption("Latest first. Click one to go back to it; undo and redo continue from there.")
        for number in reversed(range(max(0, len(moments) - 20), len(moments))):
            then = moments[number]
            words = f"`{plain(str(then))}`" if len(then) in (1, 2, 3) else f"{len(then)} steps"
            delta = _delta(view, cached.identity(view), str(then))
            st.button(
                f"{number + 1}. {words if len(then) else 'the circuit, unchanged'}: "
                f"{signed(delta, 4)} nats",
                key=f"moment {number}",
                type="tertiary",
                on_click=history.go_back,
                args=(view, number),
            )


_ASKED, _ALL = "necessity", "necessity_all"  # widgets' keys and parameters of the address
# Numbers in the residual stream. A run of so many (a fifth of a second of one core) does not hold
# up the next click; more than the second is run only where it is asked for.
_AT_ONCE, _UNASKED = 2_500_000, 10_000_000
_FEWEST = 8  # pairs
_SUFFICIENT = (
    "Mean task loss of the circuit with the recipe applied, everything outside it at its "
    "mean, in nats per sequence. The baseline is the circuit with nothing changed."
)
_NECESSARY = (
    "Mean task loss of the **whole** model in which nothing but the recipe's steps is changed, in "
    "nats per sequence. The baseline is the whole model. If it hardly rises, the model can do "
    "without these parts: others stand in for them."
)


def _both_losses(view: LiveView, recipe: Recipe) -> None:
    """The two losses side by side, with their baselines; asked for where the model is large.

    The circuit's is that of the panel, on every prompt; the whole model's is marked where it is of
    fewer.
    """
    pairs = _pairs(view)
    if pairs is None:
        return
    whole = view.experiment
    circuit = whole.apply(recipe).after
    some, model = _in_model(view, cached.identity(view), str(recipe), pairs)
    few = "" if pairs == whole.batch.n_pairs else f", ≈ {2 * pairs} prompts"
    with st.container(horizontal=True, gap="medium"):
        for name, before, after, meaning in (
            ("Circuit with the recipe", whole.of_circuit, circuit, _SUFFICIENT),
            (f"Whole model with the recipe{few}", some.of_model, model, _NECESSARY),
        ):
            change(name, before.loss, after.loss, meaning, rise_is_worse=True)
    faithful = faithfulness_of(whole, circuit)
    of = f" The whole model: on the first {2 * pairs} of them." if few else ""
    st.caption(
        f"Live, nats per sequence, on {plain(whole.batch_name)}; chance 0.6931.{of} Faithfulness "
        f"of the circuit: {'undefined' if faithful is None else format(faithful, '.3f')}. "
        "Necessity: the whole model with only these steps applied. With all "
        f"{view.circuit.size:,} nodes of the circuit at their means its loss is "
        f"{some.of_complement.loss:.4f}."
    )


def _pairs(view: LiveView) -> int | None:
    """How many pairs of prompts to run; None where the reader has not asked for it."""
    batch, config = view.experiment.batch, view.config
    size = 2 * batch.tokens.shape[1] * config.d_model * config.n_layer  # of a pair
    few = min(batch.n_pairs, max(_FEWEST, _AT_ONCE // size))
    if few * size > _UNASKED and not st.toggle(
        "Necessity: change the same in the whole model",
        **bound(_ASKED, False),
        help=_NECESSARY,
    ):
        return None
    if few < batch.n_pairs and st.toggle(
        f"Run the whole model on all {len(batch)} prompts", **bound(_ALL, False)
    ):
        return batch.n_pairs
    return few


@shared("Running the whole model …")
def _some(_view: LiveView, identity: int, pairs: int) -> Experiment:
    """The circuit on the first prompts; kept as long as as many views are."""
    some = _view.experiment
    if pairs < some.batch.n_pairs:
        some = replace(some, batch=some.batch.select(range(pairs)))
    _ = some.of_model, some.of_complement  # run once, under this spinner
    return some


@shared("Running the whole model …")
def _in_model(_view: LiveView, identity: int, steps: str, pairs: int) -> tuple[Experiment, Outcome]:
    """The first prompts, and the model with the recipe on them."""
    some = _some(_view, identity, pairs)
    return some, in_whole_model(some, Recipe.parse(steps.split()))

"""Under the graph: the recipe of what is changed, step by step, its effects, and its past."""

from collections.abc import Mapping

import streamlit as st

from circuit_sparsity.circuits.recipe import HOWS, Level, Recipe, Step
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.recipes import RecipeEffect, StepEffect, effects
from circuit_sparsity.plots.words import block_label, signed
from circuit_sparsity.ui.circuit import elsewhere, necessity
from circuit_sparsity.ui.shell import cached, history, state
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.messages import plain

_FEW = 12  # steps that have fields of their own
_MOST = 48  # steps that are measured one by one
_ADD = "add_set"
_HOW_NAMES = {"mean": "mean", "zero": "zero", "set": "set to", "scale": "scale by"}
_NO_DIFFERENCE = 5e-5  # nats: less is not seen in four digits
_EFFECTS_HELP = (
    "Rise of the mean task loss over the circuit's own, in nats per sequence, on the circuit's "
    "prompts. **Alone**: this step and no other. **So far**: with all steps before it. "
    "**Interaction**: all steps together, less the sum of what each does alone."
)


def section(scene: Scene) -> None:
    """Steps with their effects, sets to add, earlier moments, other prompts, Python."""
    recipe = state.recipe()
    st.markdown("##### Recipe", help=_EFFECTS_HELP)
    _add_set(scene)
    if not len(recipe):
        st.caption("Nothing is changed. What you switch off, set or scale stands here, in order.")
    elif len(recipe) <= _MOST:
        found = _effects(scene, cached.identity(scene), str(recipe))
        _steps(scene, found)
        _together(found)
    else:
        st.caption(f"{len(recipe)} steps: up to {_MOST} are measured one by one.")
    if len(recipe):
        necessity.section(scene, recipe)
    _past(scene)
    elsewhere.section(scene, recipe)


@st.cache_resource(max_entries=256, show_spinner="Carrying out the recipe, step by step …")
def _effects(_scene: Scene, identity: int, steps: str) -> RecipeEffect:
    return effects(_scene.experiment, Recipe.parse(steps.split()))


@st.cache_resource(max_entries=512, show_spinner=False)
def _delta(_scene: Scene, identity: int, steps: str) -> float:
    return _scene.experiment.apply(Recipe.parse(steps.split())).delta


def _steps(scene: Scene, found: RecipeEffect) -> None:
    for number, effect in enumerate(found.steps[:_FEW], start=1):
        _step(scene, number, effect)
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


def _step(scene: Scene, number: int, effect: StepEffect) -> None:
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
            args=(scene, step.name),
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


def _restore(scene: Scene, name: str) -> None:
    kept = [step for step in state.recipe() if step.name != name]
    state.follow_recipe(scene, Recipe(tuple(kept)))


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


def _add_set(scene: Scene) -> None:
    sets = _sets(scene)
    st.selectbox(
        "Add a set",
        [f"{name}, {len(nodes)} nodes" for name, nodes in sets.items()],
        index=None,
        key=_ADD,
        placeholder="Add a set of nodes: a head, a block, a place …",
        label_visibility="collapsed",
        on_change=_add,
        args=(scene, list(sets.values())),
    )


def _sets(scene: Scene) -> Mapping[str, list[Node]]:
    """Nodes that belong together: heads, blocks, places; in the order of computation."""
    found: dict[str, list[Node]] = {}
    for node in scene.wiring.nodes:
        place = node.location
        if place.kind in ("q", "k", "v"):
            head = node.channel // scene.config.d_head
            found.setdefault(f"head {head} of layer {place.layer}", []).append(node)
        found.setdefault(f"all of {block_label(place)}", []).append(node)
        found.setdefault(f"all of {place}", []).append(node)
    return {name: nodes for name, nodes in sorted(found.items()) if len(nodes) > 1}


def _add(scene: Scene, sets: list[list[Node]]) -> None:
    asked = st.session_state[_ADD]
    names = [f"{name}, {len(nodes)} nodes" for name, nodes in _sets(scene).items()]
    if asked in names:
        recipe, level = state.recipe(), Level(state.fill())
        for node in sets[names.index(asked)]:
            if str(node) not in {step.name for step in recipe}:
                recipe = recipe.with_step(Step(node, level=level))
        state.follow_recipe(scene, recipe)
    st.session_state[_ADD] = None


def _past(scene: Scene) -> None:
    moments = history.past()
    if not moments:
        return
    with st.expander(f"History: {len(moments)} earlier", icon=":material/history:"):
        st.caption("The latest first. Click one to go back there; undo and redo lead on from it.")
        for number in reversed(range(max(0, len(moments) - 20), len(moments))):
            then = moments[number]
            words = f"`{plain(str(then))}`" if len(then) in (1, 2, 3) else f"{len(then)} steps"
            delta = _delta(scene, cached.identity(scene), str(then))
            st.button(
                f"{number + 1}. {words if len(then) else 'the circuit as it is'}: "
                f"{signed(delta, 4)} nats",
                key=f"moment {number}",
                type="tertiary",
                on_click=history.go_back,
                args=(scene, number),
            )

"""A recipe as a few lines of Python that print the number on the page."""

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.recipes.elsewhere import Elsewhere

_WRAPS = {"pair": "on_pair", "text": "on_text", "task": "on_task"}


def snippet(circuit: Circuit, recipe: Recipe, elsewhere: Elsewhere | None = None) -> str:
    """Python that opens the circuit, carries out the recipe, and prints the rise of the loss.

    It prints the change of the mean task loss in nats per sequence, with sign and six digits.
    """
    elsewhere = elsewhere or Elsewhere()
    wrap = _WRAPS.get(elsewhere.where)
    names = ", ".join(repr(n) for n in (circuit.model, circuit.task, circuit.sweep, circuit.k))
    steps = "".join(f"    {str(step)!r},\n" for step in recipe)
    lines = [
        "from circuit_sparsity.opening import open_circuit",
        "from circuit_sparsity.recipes import Recipe",
        "from circuit_sparsity.recipes.effects import apply",
        *([f"from circuit_sparsity.recipes.elsewhere import {wrap}"] if wrap else []),
        *(["from circuit_sparsity.tasks.task import Prompt"] if wrap == "on_text" else []),
        "",
        f"circuit = open_circuit({names})",
        *([f"circuit = {wrap}(circuit, {_arguments(elsewhere)})"] if wrap else []),
        f"recipe = Recipe.parse([\n{steps}])",
        'print(f"{apply(circuit, recipe).delta:+.6f}")  # rise of the loss, nats per sequence',
    ]
    return "\n".join(lines) + "\n"


def _arguments(elsewhere: Elsewhere) -> str:
    if elsewhere.where == "pair":
        return str(elsewhere.pair)
    if elsewhere.where == "task":
        return repr(elsewhere.task)
    assert elsewhere.text is not None, "a replay on texts has them"
    return ", ".join(map(repr, elsewhere.text))

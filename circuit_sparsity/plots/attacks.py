"""An attack's course: the probability of the right answer against how strong it is."""

from collections.abc import Sequence

from plotly.graph_objects import Figure

from circuit_sparsity.explained.attack import Attack, Strength
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure


def attack_figure(attack: Attack, curve: Sequence[Strength], palette: Palette) -> Figure:
    """Four lines, model and circuit on each kind of prompt; a level at chance, 0.5."""
    x = [point.strength for point in curve]
    lines = [
        Line(f"{who}, {named}", x, [getattr(getattr(point, who), side) for point in curve])
        for side, named in zip(("positive", "negative"), attack.classes, strict=True)
        for who in ("model", "circuit")
    ]
    y = Axis("p(right answer), of two")
    return line_figure(lines, Axis(attack.strength), y, palette, {"chance": 0.5})

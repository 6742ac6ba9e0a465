"""Library values as pictures: Plotly figures and escaped HTML. Reads no state, draws no page.

In a notebook, ``from circuit_sparsity import plots`` and ``plots.draw(open_circuit(...))``: what
comes back is a Plotly figure, which a notebook shows. docs/example.ipynb does more.
"""

from circuit_sparsity.plots.colours import DARK, LIGHT, Palette
from circuit_sparsity.plots.compare import compare_figure
from circuit_sparsity.plots.curves import Axis, Line, line_figure
from circuit_sparsity.plots.graph import circuit_figure
from circuit_sparsity.plots.layout import lay_out
from circuit_sparsity.plots.notebook import draw, draw_both
from circuit_sparsity.plots.patching import patching_figure
from circuit_sparsity.plots.standalone import standalone_html

__all__ = [
    "DARK",
    "LIGHT",
    "Axis",
    "Line",
    "Palette",
    "circuit_figure",
    "compare_figure",
    "draw",
    "draw_both",
    "lay_out",
    "line_figure",
    "patching_figure",
    "standalone_html",
]

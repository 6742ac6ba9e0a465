"""Curves: what a click on them does."""

import pytest

from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure


@pytest.mark.parametrize(("clickable", "mode"), [(True, "event+select"), (False, None)])
def test_only_a_chart_whose_points_are_chosen_says_so_itself(clickable, mode):
    line = Line("loss", [1, 2], [0.5, 0.25])
    figure = line_figure([line], Axis("k"), Axis("nats"), palette("light"), clickable=clickable)
    assert figure.layout.clickmode == mode

"""Faithfulness over sizes: CPR and CMD on the published grid and on a log grid."""

import math
from collections.abc import Callable, Sequence

from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.evidence.evidence import CurvePoint
from circuit_sparsity.experiment.experiment import Experiment, faithfulness
from circuit_sparsity.pruning.size import log_grid

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the nodes kept


def fraction_sizes(total: int) -> tuple[int, ...]:
    """Numbers of nodes at the published fractions.

    >>> fraction_sizes(8704)
    (9, 17, 44, 87, 174, 435, 870, 1741, 4352, 8704)
    """
    return tuple(max(1, round(fraction * total)) for fraction in FRACTIONS)


def curve(
    experiment: Experiment,
    order: Int[Tensor, " node"],
    step: Callable[[], None] = lambda: None,
) -> tuple[CurvePoint, ...]:
    """The nested circuits of ``order`` at the sizes of both grids, by size."""
    layout = Layout(experiment.model.config)
    sizes = sorted({*fraction_sizes(layout.size), *log_grid(layout.size)})
    model, empty = experiment.of_model.loss, experiment.of_nothing.loss
    found = []
    for size in sizes:
        step()
        loss = experiment.run(layout.split(layout.first(order, size))).loss
        found.append(CurvePoint(size, loss, faithfulness(loss, model, empty)))
    return tuple(found)


def areas(curve: Sequence[CurvePoint], sizes: Sequence[int], log: bool) -> tuple[float, float]:
    """CPR and CMD: the mean height, by trapezoids, of faithfulness and of its distance from 1.

    Over the number of nodes, or over its logarithm.

    >>> line = [CurvePoint(1, 0.7, 0.0), CurvePoint(2, 0.4, 0.5), CurvePoint(4, 0.1, 1.0)]
    >>> areas(line, (1, 2, 4), log=True)
    (0.5, 0.5)
    """
    height = {point.nodes: point.faithfulness for point in curve}
    points = [(math.log(n) if log else float(n), height[n]) for n in sorted(set(sizes))]
    known = [(x, y) for x, y in points if y is not None]
    return _mean_height(known), _mean_height([(x, abs(1 - y)) for x, y in known])


def _mean_height(points: Sequence[tuple[float, float]]) -> float:
    if len(points) < 2:
        return points[0][1]
    pairs = zip(points, points[1:], strict=False)
    area = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairs)
    return area / (points[-1][0] - points[0][0])

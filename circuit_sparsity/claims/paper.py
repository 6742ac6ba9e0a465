"""What Gao et al. 2025 (arXiv 2511.13653) report: the numbers that ours stand beside."""

from collections.abc import Mapping
from types import MappingProxyType

# Fig. 2: geometric-mean edges over its tasks at a target loss (nats): of the dense, of the sparse
# model of equal pretraining loss. It tells none at .1 and .25.
EDGES: Mapping[float, tuple[int, int]] = MappingProxyType(
    {0.0015: (55_900, 3_260), 0.015: (10_200, 605), 0.05: (8_200, 386), 0.15: (5_800, 240)}
    | {0.5: (2_900, 128)}
)
# Fig. 3: width multiple and nonzero parameters; pretraining loss (nats per token), edges at 0.15.
FRONTIER: Mapping[str, tuple[float, int]] = MappingProxyType(
    {
        "1x, 0.9 M nonzero": (1.326, 1384),
        "1x, 7.4 M nonzero": (1.225, 4331),
        "4x, 0.9 M nonzero": (1.157, 595),
        "4x, 7.4 M nonzero": (0.988, 2026),
        "8x, 7.4 M nonzero": (0.950, 1905),
        "16x, 7.4 M nonzero": (0.942, 1082),
    }
)
# Fig. 31: edges at 0.15 by attribution alone, and by learned masks.
ATTRIBUTION, LEARNED = 97_000, 300
# Fig. 32: loss (nats) without the circuit, lowest and highest task; the same of random sets.
NECESSITY = (0.48, 0.68)
RANDOM = (1e-7, 1e-6)


def ratio(target: float) -> float | None:
    """Dense over sparse edges in the paper at a target loss, None where it tells none.

    >>> round(ratio(0.15), 1)
    24.2
    """
    known = EDGES.get(target)
    return None if known is None else known[0] / known[1]

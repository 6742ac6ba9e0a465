"""How density and learning rate move over a run (Gao et al. 2025, appendix on training)."""


def density_at(step: int, steps: int, target: float, anneal: float) -> float:
    """Fraction of weights alive after ``step`` of ``steps``: linear from 1 down to ``target``.

    The target is reached after the first ``anneal`` of the run and kept.

    >>> [round(density_at(step, 100, target=0.1, anneal=0.5), 3) for step in (0, 25, 50, 99)]
    [1.0, 0.55, 0.1, 0.1]
    """
    done = min(1.0, step / (anneal * steps)) if anneal > 0 else 1.0
    return 1.0 + (target - 1.0) * done


def sharkfin(step: int, steps: int, warm_up: float, alive: float) -> float:
    """Factor on the learning rate: warm-up × linear decay to 0 × sqrt(final L0 / L0 now).

    ``alive`` is L0 now over its final value (1 at the end), so the rate grows as weights go.

    >>> sharkfin(0, 100, warm_up=0.01, alive=25.0), sharkfin(50, 100, warm_up=0.01, alive=1.0)
    (0.2, 0.5)
    """
    warm = min(1.0, (step + 1) / max(1.0, warm_up * steps))
    return warm * (1 - step / steps) * alive**-0.5

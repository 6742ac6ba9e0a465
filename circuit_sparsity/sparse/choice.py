"""When a compressed matrix multiplies faster than a dense one."""

# Tokens from which a row holds, and the density under which compressed rows win there. Measured
# (see docs/LOG.md), then lowered: other machines have faster dense products than that one, and
# from 1/4 on compressed rows with their transposed form take as much memory as the dense matrix.
_CROSSOVER = ((1, 1 / 8), (16, 1 / 4), (64, 1 / 3))
_SMALL = 1 << 19  # entries of a matrix so small that for a few tokens calling costs the most


def prefer_sparse(density: float, tokens: int, shape: tuple[int, int]) -> bool:
    """Whether ``sparse_linear`` beats a dense product of a matrix of ``shape`` on a CPU.

    >>> prefer_sparse(1 / 1024, tokens=256, shape=(8192, 2048))
    True
    >>> prefer_sparse(1 / 2, tokens=256, shape=(8192, 2048))
    False
    """
    if tokens < 16 and shape[0] * shape[1] < _SMALL:
        return False
    limit = max((density for least, density in _CROSSOVER if tokens >= least), default=0.0)
    return density < limit

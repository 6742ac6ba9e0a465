"""Which inputs of an activation give at least a certain magnitude."""

import math

from circuit_sparsity.circuits.compiled.kernels.tables import GELU, RELU
from circuit_sparsity.sparse.compiled import kernel

_LOWEST_AT, _LOWEST = -0.7517915246935645, 0.16997120747990369  # where GELU is least: -0.16997
_NOWHERE = 1e10


@kernel
def gelu(x):
    x = float(x)
    return 0.5 * x * (1.0 + math.erf(x * 0.7071067811865476))


@kernel
def activated(z, code):
    z = float(z)
    if code == GELU:
        return gelu(z)
    return max(z, 0.0) if code == RELU else z


@kernel
def _solve(limit, inside, outside):
    """Where |gelu| equals ``limit`` between a point at which it is larger and one at which not.

    By Newton's steps, and by halves where one would leave the bracket.
    """
    x = 0.5 * (inside + outside)
    for _ in range(48):
        normal = 0.5 * (1.0 + math.erf(x * 0.7071067811865476))
        off = abs(x * normal) - limit
        if off >= 0.0:
            inside = x
        else:
            outside = x
        slope = normal + x * 0.3989422804014327 * math.exp(-0.5 * x * x)
        slope = slope if x > 0.0 else -slope
        step = off / slope if slope != 0.0 else math.inf
        further = x - step
        if not min(inside, outside) < further < max(inside, outside):
            further = 0.5 * (inside + outside)
        if abs(further - x) <= 1e-9 * abs(x):
            break
        x = further
    return x


@kernel
def bounds_of(limit, code):
    """(up, low, high): |activation(z)| >= limit where z >= up or low <= z <= high.

    Without an activation the first is the bound of |z|, and the other two mean nothing.
    """
    if code != GELU or math.isinf(limit):
        return limit, _NOWHERE, _NOWHERE
    up = _solve(limit, 2.0 * limit, limit)
    if limit >= _LOWEST:
        return up, _NOWHERE, _NOWHERE
    return up, _solve(limit, _LOWEST_AT, -20.0), _solve(limit, _LOWEST_AT, 0.0)

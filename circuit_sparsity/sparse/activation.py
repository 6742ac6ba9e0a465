"""exp, erf and GELU of sixteen numbers at once."""

from circuit_sparsity.sparse.compiled import kernel
from circuit_sparsity.sparse.vector import (
    add,
    bits_of,
    divide,
    largest,
    multiply,
    multiply_add,
    scale_by_power,
    smallest,
    splat,
    subtract,
)

_ROUNDER = 12_582_912.0  # 1.5 * 2**23: adding it leaves an integer in the low bits of the sum
_ROUNDER_BITS = 0x4B400000


@kernel
def exp16(x):
    """e**x to 2e-7 of itself; x is held between -87.3 (1e-38) and 88 (2e38)."""
    x = largest(smallest(x, 88.0), -87.3)
    shifted = multiply_add(x, 1.4426950408889634, _ROUNDER)
    whole = subtract(shifted, _ROUNDER)
    rest = multiply_add(whole, -0.693359375, x)
    rest = multiply_add(whole, 2.12194440e-4, rest)
    value = multiply_add(rest, 1.9875691500e-4, 1.3981999507e-3)
    value = multiply_add(value, rest, 8.3334519073e-3)
    value = multiply_add(value, rest, 4.1665795894e-2)
    value = multiply_add(value, rest, 1.6666665459e-1)
    value = multiply_add(value, rest, 5.0000001201e-1)
    value = multiply_add(multiply(value, rest), rest, add(rest, 1.0))
    return scale_by_power(value, subtract(bits_of(shifted), _ROUNDER_BITS))


@kernel
def erf16(x):
    """The error function, to 4e-7, as a quotient of polynomials in x * x."""
    x = largest(smallest(x, 4.0), -4.0)
    square = multiply(x, x)
    top = multiply_add(square, -2.72614225801306e-10, 2.77068142495902e-08)
    top = multiply_add(top, square, -2.10102402082508e-06)
    top = multiply_add(top, square, -5.69250639462346e-05)
    top = multiply_add(top, square, -7.34990630326855e-04)
    top = multiply_add(top, square, -2.95459980854025e-03)
    top = multiply_add(top, square, -1.60960333262415e-02)
    bottom = multiply_add(square, -1.45660718464996e-05, -2.13374055278905e-04)
    bottom = multiply_add(bottom, square, -1.68282697438203e-03)
    bottom = multiply_add(bottom, square, -7.37332916720468e-03)
    bottom = multiply_add(bottom, square, -1.42647390514189e-02)
    return divide(multiply(x, top), bottom)


@kernel
def gelu16(x):
    """x * (1 + erf(x / sqrt(2))) / 2, the exact GELU."""
    half = multiply(x, 0.5)
    return multiply_add(half, erf16(multiply(x, 0.7071067811865476)), half)


@kernel
def relu16(x):
    return largest(x, splat(0.0))

"""Comprehensions of lists, sets and dicts, and the functions that fold them."""

from circuit_sparsity.programs.blocks import function
from circuit_sparsity.programs.literals import comparison
from circuit_sparsity.programs.writer import Lines, Template, Writer


def _source(w: Writer) -> str:
    return w.pick(
        (w.plural(), w.plural(), f"range({w.between(2, 50)})", w.known("list") or "items")
    )


def _result(w: Writer, x: str) -> str:
    return w.pick(
        (x, f"{x} * {w.between(2, 9)}", f"{x} ** 2", f"len({x})", f"str({x})", f"{x}.{w.noun()}")
    )


def _filter(w: Writer, x: str) -> str:
    if w.chance(0.6):
        return ""
    return w.pick(
        (f" if {x} > {w.number()}", f" if {x}", f" if {comparison(w)}", f" if {x} % 2 == 0")
    )


def expression(w: Writer) -> str:
    """One comprehension with its brackets."""
    x = w.variable()
    tail = f" for {x} in {_source(w)}{_filter(w, x)}"
    roll = w.random()
    if roll < 0.6:
        return f"[{_result(w, x)}{tail}]"
    if roll < 0.75:
        return f"{{{x}: {_result(w, x)}{tail}}}"
    if roll < 0.85:
        return f"{{{_result(w, x)}{tail}}}"
    if roll < 0.92:
        y = w.short()
        return f"[[{w.pick(('0', '1', y))} for {y} in range({w.between(1, 20)})]{tail}]"
    return f"{w.pick(('sum', 'any', 'all', 'max'))}({_result(w, x)}{tail})"


def made(w: Writer) -> Lines:
    """Comprehensions assigned to names."""
    out: Lines = []
    for _ in range(w.between(1, 3)):
        text = expression(w)
        out.append(f"{w.plural()}{w.equals()}{text}")
    return out


def returned(w: Writer) -> Lines:
    """A function that returns a comprehension."""
    with w.scope():
        box = w.declare(w.plural(), "list")
        return function(w, w.function_name(), box, [f"return {expression(w)}"])


TEMPLATES: tuple[tuple[float, Template], ...] = ((1.5, made), (0.7, returned))

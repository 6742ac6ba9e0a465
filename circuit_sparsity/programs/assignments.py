"""Assignments: swaps, several targets at once, copies, constants and arithmetic."""

from circuit_sparsity.programs.blocks import function, make
from circuit_sparsity.programs.literals import arithmetic
from circuit_sparsity.programs.writer import Kind, Lines, Template, Writer, block

_KINDS: tuple[Kind, ...] = ("number", "text", "list", "nested", "set", "dict", "flag")


def swap(w: Writer) -> Lines:
    """Two variables made and swapped."""
    a, b = w.distinct(2, w.short if w.chance(0.4) else w.noun)
    out: Lines = []
    if w.chance(0.6):
        out += [f"{a}{w.equals()}{w.atom()}", f"{b}{w.equals()}{w.atom()}"]
    out.append(f"{a}, {b} = {b}, {a}")
    return [*out, f"print({a}, {b})"] if w.chance(0.5) else out


def ordered(w: Writer) -> Lines:
    """A swap under a condition."""
    a, b = w.distinct(2)
    lines = block(f"if {a} {w.pick(('>', '<'))} {b}:", [f"{a}, {b} = {b}, {a}"])
    if w.chance(0.5):
        return function(w, w.function_name(), f"{a}, {b}", [*lines, f"return {a}, {b}"])
    return lines


def swap_items(w: Writer) -> Lines:
    """A swap of two items of a list."""
    box = w.plural() if w.chance(0.6) else "items"
    i, j = w.distinct(2, w.short)
    return [f"{box}[{i}], {box}[{j}] = {box}[{j}], {box}[{i}]"]


def unpacked(w: Writer) -> Lines:
    """Several targets in one assignment."""
    names = w.distinct(w.between(2, 3))
    roll = w.random()
    if roll < 0.4:
        values = ", ".join(w.atom() for _ in names)
    elif roll < 0.7:
        values = f"{w.function_name()}({w.variable()})"
    else:
        values = ", ".join(w.variable() for _ in names)
    return [f"{', '.join(names)} = {values}"]


def steps(w: Writer) -> Lines:
    """Numbers worked out one after another."""
    out: Lines = []
    for _ in range(w.between(2, 5)):
        text = arithmetic(w)
        out.append(f"{w.name_for('number')}{w.equals()}{text}")
    name = w.known("number")
    return [*out, f"print({name})"] if w.chance(0.4) else out


def constants(w: Writer) -> Lines:
    """Names in capitals."""
    names = w.distinct(w.between(2, 5), w.constant_name)
    return [f"{name} = {w.atom()}" for name in names]


def several(w: Writer) -> Lines:
    """New variables of different kinds."""
    out: Lines = []
    for _ in range(w.between(2, 5)):
        out += make(w, w.pick(_KINDS))
    return out


def copies(w: Writer) -> Lines:
    """Values passed on from name to name."""
    names = w.distinct(w.between(3, 5))
    pairs = zip(names[1:], names, strict=False)
    return [f"{names[0]}{w.equals()}{w.atom()}", *(f"{b}{w.equals()}{a}" for b, a in pairs)]


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (2.5, swap),
    (1.0, ordered),
    (0.5, swap_items),
    (0.8, unpacked),
    (1.0, steps),
    (0.4, constants),
    (1.0, several),
    (0.5, copies),
)

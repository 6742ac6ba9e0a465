"""Choices: `if`, `elif` and `else`, conditional expressions, comparisons and flags."""

from circuit_sparsity.programs.blocks import body, function
from circuit_sparsity.programs.literals import comparison, condition
from circuit_sparsity.programs.strings import call
from circuit_sparsity.programs.writer import Lines, Template, Writer, block


def chain(w: Writer) -> Lines:
    """`if`, any number of `elif`, perhaps `else`."""
    out = block(f"if {condition(w)}:", body(w, 0))
    for _ in range(w.pick((0, 1, 1, 2, 3))):
        out += block(f"elif {condition(w)}:", body(w, 0))
    return [*out, *block("else:", body(w, 0))] if w.chance(0.65) else out


def ternary(w: Writer) -> Lines:
    """Conditional expressions in assignments, returns and calls."""
    out: Lines = []
    for _ in range(w.between(1, 3)):
        text = f"{_value(w)} if {condition(w)} else {_value(w)}"
        roll = w.random()
        if roll < 0.7:
            out.append(f"{w.variable()}{w.equals()}{text}")
        elif roll < 0.85:
            out.append(f"print({text})")
        else:
            out.append(f"{w.plural()}.append({text})")
    return out


def _value(w: Writer) -> str:
    return w.some() if w.chance(0.3) else w.atom()


def mixed(w: Writer) -> Lines:
    """A condition as a statement and one as an expression, in either order."""
    expression = f"{w.variable()}{w.equals()}{_value(w)} if {condition(w)} else {_value(w)}"
    lines = block(f"if {condition(w)}:", [call(w)])
    return [expression, *lines] if w.chance(0.5) else [*lines, expression]


def flags(w: Writer) -> Lines:
    """Flags set, then asked with `==`."""
    name = w.declare(w.variable(), "flag")
    value = w.pick(("True", "False"))
    out = [f"{name}{w.equals()}{value}"] if w.chance(0.7) else []
    other = w.pick(("True", "False"))
    inside = [f"{name}{w.equals()}{w.pick(('True', 'False'))}"] if w.chance(0.6) else body(w, 0)
    return [*out, *block(f"if {name} == {other}:", inside)]


def grades(w: Writer) -> Lines:
    """A function that maps ranges of a number to texts."""
    name = w.noun()
    sign = w.pick((">", ">=", "<", "<="))
    out = block(f"if {name} {sign} {w.number()}:", [f"return {w.key()}"])
    for _ in range(w.between(1, 3)):
        out += block(f"elif {name} {sign} {w.number()}:", [f"return {w.key()}"])
    out += block("else:", [f"return {w.key()}"]) if w.chance(0.7) else [f"return {w.key()}"]
    return function(w, w.function_name(), name, out)


def answers(w: Writer) -> Lines:
    """One variable compared with several texts."""
    name = w.pick(("choice", "command", "mode", w.noun()))
    out = block(f"if {name} == {w.key()}:", [call(w)])
    for _ in range(w.between(1, 3)):
        out += block(f"elif {name} == {w.key()}:", [call(w)])
    return [*out, *block("else:", [call(w)])] if w.chance(0.6) else out


def predicate(w: Writer) -> Lines:
    """A function that answers True or False."""
    with w.scope():
        names = w.distinct(w.between(1, 3))
        for name in names:
            w.declare(name, "number")
        first, second = w.pick((("True", "False"), ("False", "True")))
        roll = w.random()
        if roll < 0.4:
            lines = [*block(f"if {condition(w)}:", [f"return {first}"]), f"return {second}"]
        elif roll < 0.6:
            lines = block(f"if {condition(w)}:", [f"return {first}"])
            lines += block("else:", [f"return {second}"])
        elif roll < 0.8:
            lines = [f"return {comparison(w)}"]
        else:
            lines = [*body(w, 0), f"return {first}"]
    return function(w, w.function_name(), ", ".join(names), lines)


def guards(w: Writer) -> Lines:
    """A function that checks its arguments first."""
    with w.scope():
        names = w.distinct(w.between(1, 2))
        lines: Lines = []
        for name in names:
            kind = w.pick(("ValueError", "TypeError", "KeyError"))
            test = w.pick(
                (f"{name} < 0", f"not {name}", f"{name} is None", f"{name} == {w.atom()}")
            )
            lines += block(f"if {test}:", [f"raise {kind}({w.string(2, 5)})"])
        lines.append(f"return {w.pick(names)}")
    return function(w, w.function_name(), ", ".join(names), lines)


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (2.0, chain),
    (1.5, ternary),
    (0.8, mixed),
    (1.2, flags),
    (0.6, grades),
    (0.6, answers),
    (0.8, predicate),
    (0.5, guards),
)

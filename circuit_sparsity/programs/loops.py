"""Loops: `for` over lists, ranges and enumerations, `while` with conditions, flags and breaks."""

from circuit_sparsity.programs.blocks import body, function, leave
from circuit_sparsity.programs.literals import condition, operand
from circuit_sparsity.programs.strings import call, labelled
from circuit_sparsity.programs.writer import Lines, Template, Writer, block


def _box(w: Writer) -> str:
    return w.known("list", "set", "nested") or w.pick((w.plural(), w.plural(), "items", "values"))


def _range(w: Writer) -> str:
    roll = w.random()
    top = str(w.between(1, 100)) if w.chance(0.5) else w.pick((f"len({w.plural()})", w.variable()))
    if roll < 0.7:
        return f"range({top})"
    if roll < 0.9:
        return f"range({w.between(0, 5)}, {top})"
    return f"range({w.between(0, 5)}, {top}, {w.between(2, 5)})"


def over_range(w: Writer) -> Lines:
    i = w.declare(w.short() if w.chance(0.6) else w.noun(), "number")
    return block(f"for {i} in {_range(w)}:", [f"print({i})"] if w.chance(0.3) else body(w, 1))


def over_enumeration(w: Writer) -> Lines:
    i, item = w.distinct(2, lambda: w.name_for("item"))
    start = w.pick(("", "", "", ", 1", ", start=1"))
    head = f"for {i}, {item} in enumerate({_box(w)}{start}):"
    return block(head, [f"print({i}, {item})"] if w.chance(0.4) else body(w, 1))


def over_items(w: Writer) -> Lines:
    head = f"for {w.name_for('item')} in {_box(w)}:"
    return block(head, body(w, 1) if w.chance(0.7) else [labelled(w)])


def over_pairs(w: Writer) -> Lines:
    """Two loop variables from a dict's items or from a zip."""
    a, b = w.distinct(2) if w.chance(0.6) else ["key", "value"]
    w.declare(a, "item")
    w.declare(b, "item")
    roll = w.random()
    if roll < 0.55:
        source = f"{w.known('dict') or w.plural()}.items()"
    else:
        source = f"zip({w.plural()}, {w.plural()})"
    return block(
        f"for {a}, {b} in {source}:", [f"print({a}, {b})"] if w.chance(0.4) else body(w, 0)
    )


def grid(w: Writer) -> Lines:
    """A loop in a loop."""
    i, j = (w.declare(name, "number") for name in w.distinct(2, w.short))
    inner = block(f"for {j} in {_range(w)}:", body(w, 0))
    return block(f"for {i} in {_range(w)}:", inner)


def counting(w: Writer) -> Lines:
    """A `while` that counts up or down."""
    name = w.declare(w.variable(), "number")
    if w.chance(0.6):
        head, step = f"while {name} < {operand(w)}:", f"{name} += {w.between(1, 5)}"
        start = str(w.between(0, 5))
    else:
        head, step = f"while {name} > {w.between(0, 5)}:", f"{name} -= {w.between(1, 5)}"
        start = w.number()
    return [f"{name}{w.equals()}{start}", *block(head, [*body(w, 0), step])]


def waiting(w: Writer) -> Lines:
    """A `while` on a bare variable: a flag, a list or a number."""
    kind = w.pick(("flag", "list", "number"))
    name = w.declare(w.variable(), kind)
    if kind == "flag":
        start, last = "True", f"{name}{w.equals()}False"
    elif kind == "list":
        start, last = w.plural(), f"{name}.pop()"
    else:
        start, last = w.number(), f"{name} -= 1"
    inside = [*body(w, 0), last]
    return [f"{name}{w.equals()}{start}", *block(f"while {name}:", inside)]


def forever(w: Writer) -> Lines:
    """`while True` with a way out."""
    out = block(f"if {condition(w)}:", ["break"])
    inside = [*body(w, 0), *out] if w.chance(0.6) else [*out, *body(w, 0)]
    return block("while True:", inside)


def searching(w: Writer) -> Lines:
    """A function with a loop that returns True or False on the way."""
    with w.scope():
        box, wanted = w.plural(), w.noun()
        found, other = w.pick((("True", "False"), ("False", "True")))
        test = w.pick((f"{wanted} == {w.atom()}", condition(w), f"{wanted} is None"))
        inside = block(f"if {test}:", [f"return {found}"])
        loop = block(f"for {wanted} in {box}:", inside)
        lines = [*loop, f"return {other}"]
    return function(w, w.function_name(), box, lines)


def retry(w: Writer) -> Lines:
    """A function with `while True` inside that returns or breaks."""
    with w.scope():
        name = w.variable()
        last = w.pick(("return True", "return False", "break", f"return {name}"))
        inside = [*body(w, 0), *block(f"if {condition(w)}:", [last])]
        lines = block("while True:", inside)
        if last == "break":
            lines.append(leave(w))
        elif w.chance(0.3):
            lines.append(call(w))
    return function(w, w.function_name(), name if w.chance(0.7) else "", lines)


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (1.2, over_range),
    (1.2, over_enumeration),
    (1.2, over_items),
    (0.6, over_pairs),
    (0.5, grid),
    (1.0, counting),
    (0.9, waiting),
    (1.2, forever),
    (1.0, searching),
    (0.8, retry),
)

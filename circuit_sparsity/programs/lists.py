"""Lists and lists of lists, in assignments, calls, returns and functions."""

from circuit_sparsity.programs.blocks import body, function, use
from circuit_sparsity.programs.literals import flat, listing, mapping, nested, spread
from circuit_sparsity.programs.strings import call
from circuit_sparsity.programs.writer import Lines, Template, Writer, block


def _sign(w: Writer) -> str:
    return w.pick((" = ", " = ", " = ", " =", " =", "="))


def assigned(w: Writer) -> Lines:
    """One or more lists made by assignment, flat ones and nested ones side by side."""
    out: Lines = []
    for _ in range(w.pick((1, 1, 2, 2, 3))):
        text, is_nested = listing(w)
        name = w.name_for("nested" if is_nested else "list")
        out.append(f"{name}{_sign(w)}{text}")
    return out


def inside_function(w: Writer) -> Lines:
    """A function whose body begins with a list and works on it."""
    with w.scope():
        parameters = w.distinct(w.between(0, 2))
        text, is_nested = (flat(w), False) if w.chance(0.5) else (nested(w), True)
        name = w.name_for("nested" if is_nested else "list")
        inside = w.maybe_comment(0.1)
        inside.append(f"{name}{_sign(w)}{text}")
        inside += _work(w, name, is_nested) if w.chance(0.7) else body(w, 1)
        inside.append(f"return {name}" if w.chance(0.5) else f"return {_summary(w, name)}")
    return function(w, w.function_name(), ", ".join(parameters), inside)


def returned(w: Writer) -> Lines:
    """A function that returns a literal list."""
    text, _ = listing(w)
    with w.scope():
        parameters = ", ".join(w.distinct(w.between(0, 2)))
        return function(w, w.function_name(), parameters, [f"return {text}"])


def passed(w: Writer) -> Lines:
    """Lists as arguments: the closers run together as in `print([[1, 2], [3]])`."""
    out: Lines = []
    for _ in range(w.between(1, 4)):
        text, _ = listing(w)
        target = w.pick(("print", "len", "sum", "sorted", w.function_name(), w.function_name()))
        roll = w.random()
        if roll < 0.45:
            out.append(f"{target}({text})")
        elif roll < 0.6:
            out.append(f"print({target}({text}))")
        elif roll < 0.8:
            out.append(f"{w.name_for('number')}{w.equals()}{target}({text})")
        else:
            out.append(f"{w.function_name()}({text}, {w.atom()})")
    return out


def table(w: Writer) -> Lines:
    """Rows over several lines, then a walk over them."""
    name = w.name_for("nested")
    row = w.pick(("row", "line", w.variable()))
    out = spread(w, f"{name}{_sign(w)}", is_nested=True)
    if w.chance(0.7):
        out += block(f"for {row} in {name}:", [f"print({row})" if w.chance(0.6) else call(w)])
    return out


def records(w: Writer) -> Lines:
    """Dicts, lists of dicts and dicts of lists."""
    roll = w.random()
    if roll < 0.4:
        return [f"{w.name_for('dict')}{w.equals()}{mapping(w)}"]
    if roll < 0.7:
        rows = ", ".join(mapping(w, w.between(1, 2)) for _ in range(w.between(1, 3)))
        return [f"{w.name_for('list')}{w.equals()}[{rows}]"]
    name = w.name_for("dict")
    lines = [
        f"    {w.key()}: {w.pick((flat(w), w.atom(), w.atom()))}," for _ in range(w.between(2, 5))
    ]
    return [f"{name}{w.equals()}{{", *lines, "}"]


def text_records(w: Writer) -> Lines:
    """A dict and a list of the same kind of strings, one after the other in either order."""
    keys = [w.key() for _ in range(w.between(2, 5))]
    pairs = ", ".join(f"{key}: {w.atom()}" for key in keys)
    others = ", ".join(w.key() for _ in range(w.between(2, 6)))
    as_dict = f"{w.name_for('dict')}{_sign(w)}{{{pairs}}}"
    as_list = f"{w.name_for('list')}{_sign(w)}[{others}]"
    return w.pick(([as_dict, as_list], [as_list, as_dict], [as_dict], [as_list]))


def picked(w: Writer) -> Lines:
    """Items and slices of a list."""
    name = w.known("list", "nested") or w.name_for("list")
    out = [f"{name}{_sign(w)}{flat(w, w.between(2, 9))}"]
    for _ in range(w.between(1, 3)):
        place = w.pick(("0", "1", "-1", "1:", ":2", "i", "::-1", "2:4"))
        out.append(f"{w.variable()}{w.equals()}{name}[{place}]")
    return out


def _work(w: Writer, name: str, is_nested: bool) -> Lines:
    if w.chance(0.4):
        return [use(w, name, "nested" if is_nested else "list")]
    total = w.name_for("number")
    item = w.pick(("row", "item", w.short()))
    step = (
        f"{total} += {'len' if w.chance(0.5) else 'sum'}({item})"
        if is_nested
        else f"{total} += {item}"
    )
    return [f"{total} = 0", *block(f"for {item} in {name}:", [step])]


def _summary(w: Writer, name: str) -> str:
    return w.pick((f"len({name})", f"sum({name})", f"{name}[0]", f"sorted({name})", f"max({name})"))


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (3.0, assigned),
    (3.0, inside_function),
    (1.0, returned),
    (2.0, passed),
    (0.8, table),
    (1.2, records),
    (1.5, text_records),
    (0.6, picked),
)

"""Variables that gather as a loop runs: a set by `.add`, a text by `+=`, a list by `.append`."""

from circuit_sparsity.programs.blocks import function, statement
from circuit_sparsity.programs.literals import comparison
from circuit_sparsity.programs.strings import call
from circuit_sparsity.programs.writer import Kind, Lines, Template, Writer, block

_STARTS: dict[Kind, tuple[str, ...]] = {
    "set": ("set()",),
    "text": ('""', "''"),
    "list": ("[]",),
    "dict": ("{}",),
    "number": ("0", "1"),
}


def _start(w: Writer, kind: Kind) -> str:
    return w.pick(_STARTS[kind])


def grow(w: Writer, name: str, kind: Kind, item: str) -> str:
    """The line that puts `item` into the gatherer `name`."""
    if kind == "set":
        return f"{name}.add({item})"
    if kind == "text":
        return f"{name} += {w.pick((item, item, f'str({item})', w.key()))}"
    if kind == "list":
        return f"{name}.append({item})"
    if kind == "dict":
        return f"{name}[{item}] = {w.pick((w.number(), f'len({item})', 'True'))}"
    return f"{name} += {w.pick((item, '1', w.number()))}"


def _gatherer(w: Writer, kind: Kind) -> str:
    """A name for a gatherer; most names serve for a set as well as for a text."""
    if w.chance(0.25):
        return w.declare("current", kind)
    return w.declare(w.variable(), kind) if w.chance(0.6) else w.name_for(kind)


def _loop(w: Writer, name: str, kind: Kind, source: str) -> Lines:
    item = w.declare(w.variable(), "item")
    line = grow(w, name, kind, item)
    roll = w.random()
    if roll < 0.45:
        inside = [line]
    elif roll < 0.65:
        inside = block(f"if {comparison(w)}:", [line])
    elif roll < 0.8 and kind in ("set", "list", "dict"):
        inside = block(f"if {item} not in {name}:", [line])
    elif roll < 0.9:
        inside = [*statement(w), line]
    else:
        inside = [*block(f"if {comparison(w)}:", ["continue"]), line]
    return block(f"for {item} in {source}:", inside)


def one(w: Writer) -> Lines:
    """A gatherer and its loop."""
    kind: Kind = w.pick(("set", "set", "text", "text", "list", "dict", "number"))
    name = _gatherer(w, kind)
    filler = statement(w) if w.chance(0.25) else []
    out = [f"{name}{w.equals()}{_start(w, kind)}", *filler]
    out += _loop(w, name, kind, w.plural())
    return [*out, f"print({name})"] if w.chance(0.3) else out


def in_function(w: Writer) -> Lines:
    """A function that gathers and returns."""
    kind: Kind = w.pick(("set", "set", "text", "text", "list", "dict", "number"))
    with w.scope():
        source = w.pick((w.plural(), "items", "data", "values", "lines"))
        name = _gatherer(w, kind)
        inside = [f"{name}{w.equals()}{_start(w, kind)}"]
        if w.chance(0.25):
            inside += statement(w)
        inside += _loop(w, name, kind, source)
        inside.append(f"return {name}")
    return function(w, w.function_name(), source, inside)


def several(w: Writer) -> Lines:
    """Two or three gatherers of different kinds that one loop fills."""
    kinds: list[Kind] = ["set", "text", "list", "number", "dict"]
    count = w.pick((2, 2, 3))
    first = w.between(0, len(kinds) - count)
    chosen = kinds[first : first + count]
    if w.chance(0.5):
        chosen.reverse()
    names = w.distinct(count)
    item = w.declare(w.variable(), "item")
    out = [
        f"{w.declare(name, kind)}{w.equals()}{_start(w, kind)}"
        for name, kind in zip(names, chosen, strict=True)
    ]
    inside = [grow(w, name, kind, item) for name, kind in zip(names, chosen, strict=True)]
    return [*out, *block(f"for {item} in {w.plural()}:", inside)]


def no_loop(w: Writer) -> Lines:
    """A gatherer made, then filled line by line with other work between."""
    kind: Kind = w.pick(("set", "set", "text", "text", "list"))
    name = _gatherer(w, kind)
    out = [f"{name}{w.equals()}{_start(w, kind)}"]
    for _ in range(w.between(1, 4)):
        if w.chance(0.3):
            out.append(call(w))
        out.append(grow(w, name, kind, w.some() if w.chance(0.5) else w.key()))
    return out


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (1.5, one),
    (1.5, in_function),
    (0.7, several),
    (1.0, no_loop),
)

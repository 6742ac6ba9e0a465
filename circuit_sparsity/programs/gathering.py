"""Sets that take `.add` and strings that take `+=`, told apart by how they were made alone."""

from typing import Literal

from circuit_sparsity.programs.literals import comparison
from circuit_sparsity.programs.surroundings import head, lead, leads, surrounded
from circuit_sparsity.programs.writer import Lines, Template, Writer, block, indent

Kind = Literal["set", "text"]


def _name(w: Writer) -> str:
    """A name that says nothing of the kind; attributes are among them."""
    roll = w.random()
    if roll < 0.25:
        return "current"
    return w.short() if roll < 0.32 else w.noun()


def _kind(w: Writer) -> Kind:
    return "set" if w.chance(0.5) else "text"


def _start(w: Writer, kind: Kind) -> str:
    return "set()" if kind == "set" else w.quote() * 2


def _grow(w: Writer, name: str, kind: Kind, item: str) -> str:
    given = w.pick((item, item, item, f"str({item})", w.key(), f"{item}.{w.noun()}"))
    return f"{name}.add({given})" if kind == "set" else f"{name} += {given}"


def _source(w: Writer) -> str:
    return w.pick(
        (
            w.plural(),
            w.plural(),
            f"range({w.between(2, 60)})",
            f"sorted({w.plural()})",
            f"{w.noun()}.{w.plural()}",
            f"{w.noun()}.{w.function_name()}()",
            f"{w.noun()}[{w.between(1, 3)}:]",
            f"self.{w.plural()}.keys()",
        )
    )


def _loop(w: Writer, growth: Lines, item: str) -> Lines:
    """A loop or condition in which something grows, with other lines before it."""
    roll = w.random()
    if roll < 0.25:
        inside = growth
    elif roll < 0.5:
        inside = [*lead(w), *growth]
    elif roll < 0.75:
        inside = block(w.pick((f"if {comparison(w)}:", f"if {item}:", f"if not {item}:")), growth)
    elif roll < 0.85:
        inside = [*block(f"if {comparison(w)}:", [w.pick(("continue", "break"))]), *growth]
    else:
        inside = block(head(w), growth)
    if w.chance(0.7):
        return block(f"for {item} in {_source(w)}:", inside)
    other = w.pick(
        (
            f"while {comparison(w)}:",
            f"while {item}:",
            "while True:",
            f"if {comparison(w)}:",
            f"with {item} as {w.noun()}:",
            f"with {w.function_name()}({w.plural()}) as {item}:",
            f"async for {item} in {w.noun()}.{w.function_name()}():",
            f"for {w.noun()}, {item} in {_source(w)}:",
        )
    )
    return block(other, inside)


def one(w: Writer) -> Lines:
    """A gatherer made, and grown in a loop or condition."""
    kind, name, item = _kind(w), _name(w), w.variable()
    sign = w.pick((" = ", " = ", " = ", ": set = " if kind == "set" else ": str = "))
    lines = [f"{name}{sign}{_start(w, kind)}", *leads(w)]
    lines += _loop(w, [_grow(w, name, kind, item)], item)
    return [*lines, f"return {name}"] if w.chance(0.3) else lines


def two(w: Writer) -> Lines:
    """One of each kind, made in either order; the loop grows one of them or both."""
    a, b = w.distinct(2, lambda: _name(w))
    item = w.variable()
    kinds: list[tuple[str, Kind]] = [(a, "set"), (b, "text")]
    if w.chance(0.5):
        kinds.reverse()
    if w.chance(0.25):
        targets, values = (a, b), ("set()", w.quote() * 2)
        start = [f"{', '.join(targets)} = {', '.join(values)}"]
        if w.chance(0.5):
            start = [f"{', '.join(targets[::-1])} = {', '.join(values[::-1])}"]
    else:
        start = [f"{name} = {_start(w, kind)}" for name, kind in kinds]
    if w.chance(0.5):
        kinds.reverse()
    growth = [_grow(w, name, kind, item) for name, kind in kinds[: w.pick((1, 1, 2))]]
    return [*start, *leads(w), *_loop(w, growth, item)]


def straight(w: Writer) -> Lines:
    """Gatherers grown line by line, with other lines between."""
    kind, name = _kind(w), _name(w)
    out = [f"{name} = {_start(w, kind)}"]
    for _ in range(w.between(1, 3)):
        out += leads(w) if w.chance(0.5) else []
        out.append(_grow(w, name, kind, w.variable()))
    return out


def kept(w: Writer) -> Lines:
    """A class whose attributes are gatherers, grown by its methods."""
    kinds: list[Kind] = [_kind(w) for _ in range(w.between(1, 2))]
    names = w.distinct(len(kinds), lambda: f"self.{_name(w)}")
    pairs = list(zip(names, kinds, strict=True))
    start = [f"{name} = {_start(w, kind)}" for name, kind in pairs]
    out = block("def __init__(self):", start)
    for name, kind in reversed(pairs) if w.chance(0.5) else pairs:
        item = w.noun()
        growth = [_grow(w, name, kind, item)]
        inside = [*leads(w), *growth] if w.chance(0.5) else _loop(w, growth, item)
        out += ["", *block(f"def {w.function_name()}(self, {item}):", inside)]
    return [f"class {w.class_name()}:", *indent(out)]


def methods(w: Writer) -> Lines:
    """A method that gathers and returns."""
    kind, name, item = _kind(w), _name(w), w.variable()
    box = w.plural()
    inside = [f"{name} = {_start(w, kind)}", *leads(w)]
    source = w.pick((box, box, f"{box}.{w.noun()}", f"enumerate({box})", f"self.{box}.values()"))
    loop = [*leads(w), _grow(w, name, kind, item)]
    if w.chance(0.3):
        loop = [*lead(w), *block(f"if {comparison(w)}:", loop)]
    inside += [*block(f"for {item} in {source}:", loop), f"return {name}"]
    first = w.pick(("self", "cls", "self, " + w.noun()))
    lines = block(f"def {w.function_name()}({first}, {box}):", inside)
    return [f"class {w.class_name()}:", *indent(lines)]


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (1.0, one),
    (2.0, surrounded(one)),
    (0.7, two),
    (1.3, surrounded(two)),
    (0.6, straight),
    (0.8, surrounded(straight)),
    (0.8, kept),
    (0.8, methods),
)

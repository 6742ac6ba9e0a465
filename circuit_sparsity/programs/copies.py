"""A name copied to where it is asked for: attributes, keywords, keys and uses of a new name.

Which name is copied never follows from the order in which the names came before.
"""

from circuit_sparsity.programs.surroundings import leads, surrounded
from circuit_sparsity.programs.writer import Lines, Template, Writer, block, indent

_SORTS = ("int", "str", "float", "bool", "list", "dict", "object")


def _names(w: Writer, low: int = 1, high: int = 5) -> list[str]:
    return w.distinct(w.between(low, high), w.noun)


def shuffled(w: Writer, names: list[str], at_least: int = 1) -> list[str]:
    """Some of the names in an order of their own."""
    order = sorted(names, key=lambda _: w.random())
    return order[: w.between(min(at_least, len(order)), len(order))]


def _parameters(w: Writer, names: list[str]) -> str:
    roll = w.random()
    if roll < 0.6:
        return ", ".join(names)
    if roll < 0.75:
        return ", ".join(f"{name}=None" for name in names)
    if roll < 0.9:
        return ", ".join(f"{name}: {w.pick(_SORTS)}" for name in names)
    return ", ".join(f"{name}={w.atom()}" for name in names)


def _before(w: Writer, names: list[str]) -> Lines:
    if w.chance(0.65):
        return []
    name = w.pick(names)
    return [
        w.pick(
            (
                f"super().__init__({name})",
                f"super().__init__({name}, {w.pick(names)})",
                f"self.{w.noun()} = {w.atom()}",
                f"assert {name} > {w.number()}",
                f"assert {name} is not None",
                f"print({name})",
                f"{name} = {w.function_name()}({name})",
                f"{w.class_name()}.__init__(self)",
                w.comment(),
                w.docstring(),
            )
        )
    ]


def initialiser(w: Writer) -> Lines:
    """A class whose `__init__` keeps its arguments in an order of its own."""
    names = _names(w, 1, 5)
    base = f"({w.class_name()})" if w.chance(0.3) else ""
    inside = [f"self.{name} = {name}" for name in shuffled(w, names)]
    lines = block(f"def __init__(self, {_parameters(w, names)}):", [*_before(w, names), *inside])
    if w.chance(0.2):
        lines = [w.docstring(), "", *lines]
    return [f"class {w.class_name()}{base}:", *indent(lines)]


def setters(w: Writer) -> Lines:
    """Methods that each set an attribute or two."""
    out: Lines = []
    for _ in range(w.between(1, 3)):
        names = _names(w, 1, 3)
        inside = [f"self.{name} = {name}" for name in shuffled(w, names)]
        name = w.pick((f"set_{names[0]}", w.function_name(), w.function_name()))
        out += block(f"def {name}(self, {_parameters(w, names)}):", [*leads(w), *inside])
    return [f"class {w.class_name()}:", *indent(out)]


def filled(w: Writer) -> Lines:
    """An object made, and its attributes set from variables of their names."""
    thing = w.pick((w.noun(), w.short(), "self", "obj"))
    names = _names(w, 1, 4)
    made = [f"{thing} = {w.class_name()}()"] if w.chance(0.5) and thing != "self" else []
    lines = [*made, *(f"{thing}.{name} = {name}" for name in names)]
    if w.chance(0.5):
        return lines
    if w.chance(0.5) or thing == "self":
        given = ["self", thing, *shuffled(w, names, len(names))]
        head = f"def {w.function_name()}({', '.join(dict.fromkeys(given))}):"
        return [f"class {w.class_name()}:", *indent(block(head, [*leads(w), *lines]))]
    sort = w.class_name()
    head = f"def {w.function_name()}({thing}: {sort}, {_parameters(w, names[::-1])}):"
    return block(head, [*leads(w), *lines])


def keywords(w: Writer) -> Lines:
    """Calls with arguments passed on by their names."""
    names = _names(w, 2, 5)
    start = [f"{name} = {w.atom()}" for name in names] if w.chance(0.3) else []
    given = ", ".join(f"{name}={name}" for name in shuffled(w, names))
    made = w.pick((w.class_name(), w.function_name(), f"self.{w.noun()}"))
    sign = w.pick(("", "return ", f"{w.noun()} = ", f"self.{w.noun()} = "))
    return [*start, f"{sign}{made}({given})"]


def keyed(w: Writer) -> Lines:
    """A dict of variables under their names, or items set or taken by their names."""
    names = _names(w, 1, 4)
    quote, box = w.quote(), w.noun()
    roll = w.random()
    if roll < 0.4:
        entries = ", ".join(f"{quote}{name}{quote}: {name}" for name in names)
        return [f"{w.pick(('return ', f'{box} = '))}{{{entries}}}"]
    if roll < 0.7:
        return [f"{box}[{quote}{name}{quote}] = {name}" for name in names]
    return [f"{name} = {box}[{quote}{name}{quote}]" for name in names]


def taken(w: Writer) -> Lines:
    """Variables made from the attributes or modules of their names."""
    thing = w.pick(("self", w.noun(), w.short()))
    form = w.pick(
        (
            "{0} = {1}.{0}",
            "{0} = {1}.{0}",
            "{0} = {0}.strip()",
            "{0} = int({0})",
            "{1}.{0} = {1}.{0} + 1",
            "from {0} import {0}",
            "{0} = {0} or {1}",
            "{1}.{0} = str({0})",
        )
    )
    return [form.format(name, thing) for name in _names(w, 1, 4)]


def reused(w: Writer) -> Lines:
    """A new name that the next lines use at once."""
    out: Lines = []
    for _ in range(w.between(1, 3)):
        name, other = w.distinct(2, w.noun)
        lines = w.pick(
            (
                [f"{name} = {w.function_name()}({other})", f"print({name})"],
                [f"{name} = {w.atom()}", f"{other} = {name} + {w.number()}"],
                [f"for {name} in {other}s:", f"    print({name})"],
                [f"for {name} in {name}s:", f"    {w.function_name()}({name})"],
                [f"{other} = [{name} for {name} in {name}s]"],
                [f"if {name} is None:", f"    {name} = {w.atom()}"],
                [f"{name} = {other}", f"{other} = {name}"],
                [f"{name} = {name} + {w.number()}"],
                [f"def {w.function_name()}({name}):", f"    return {name}"],
                [f"{other} = lambda {name}: {name}"],
                [f"if {other} in {name}:", f"    return {name}[{other}]"],
            )
        )
        out += lines
    return out


def together(w: Writer) -> Lines:
    """Several attributes set from their names in one line, or taken."""
    names = _names(w, 2, 4)
    thing = w.pick((w.noun(), w.short(), f"self.{w.noun()}"))
    if len(names) > 2 and w.chance(0.5):
        thing = "self"
    attributes = [f"{thing}.{name}" for name in names]
    if w.chance(0.6):
        return [f"{', '.join(attributes)} = {', '.join(names)}"]
    if w.chance(0.5):
        return [f"{', '.join(names)} = {', '.join(attributes)}"]
    return [f"{w.pick(('return', 'yield'))} {', '.join([w.number(), *attributes])}"]


def properties(w: Writer) -> Lines:
    """Properties with the attributes behind them."""
    out: Lines = []
    for name in _names(w, 1, 2):
        mark = w.pick(("_", "", "_"))
        out += ["@property", *block(f"def {name}(self):", [f"return self.{mark}{name}"])]
        if w.chance(0.4):
            inside = [f"self.{mark}{name} = {name}"]
            out += [f"@{name}.setter", *block(f"def {name}(self, {name}):", inside)]
    return [f"class {w.class_name()}:", *indent(out)]


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (3.0, initialiser),
    (1.2, setters),
    (1.5, filled),
    (1.0, surrounded(filled)),
    (1.0, surrounded(keywords)),
    (0.5, surrounded(keyed)),
    (0.7, surrounded(taken)),
    (1.0, surrounded(reused)),
    (0.6, surrounded(together)),
    (0.3, properties),
)

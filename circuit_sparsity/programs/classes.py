"""Classes whose `__init__` keeps its arguments, and the methods that use them."""

from circuit_sparsity.programs.blocks import body, function, leave
from circuit_sparsity.programs.literals import flat, mapping
from circuit_sparsity.programs.strings import call
from circuit_sparsity.programs.writer import Lines, Template, Writer, indent


def _parameter(w: Writer, name: str, defaults: bool) -> str:
    if not defaults:
        return name
    return f"{name}={w.pick(('None', 'None', w.number(), w.key(), 'True', 'False'))}"


def initialiser(w: Writer, names: list[str]) -> Lines:
    """An `__init__` that copies each argument to the attribute of its name, in any order."""
    with_defaults = w.chance(0.2)
    parameters = ", ".join(["self", *(_parameter(w, name, with_defaults) for name in names)])
    order = sorted(names, key=lambda _: w.random()) if w.chance(0.6) else names
    inside = [f"self.{name} = {name}" for name in order]
    if w.chance(0.3):
        empty = w.pick(("[]", "{}", "0", "None", "set()", '""', "True", w.number()))
        inside.append(f"self.{w.noun()} = {empty}")
    return function(w, "__init__", parameters, inside, doc=0.05)


def method(w: Writer, names: list[str]) -> Lines:
    """A method that reads or changes one of the attributes."""
    name = w.pick(names)
    roll = w.random()
    with w.scope():
        if roll < 0.2:
            return function(w, f"get_{name}", "self", [f"return self.{name}"], doc=0.1)
        if roll < 0.4:
            inside = [f"self.{name} = {name}"]
            return function(w, f"set_{name}", f"self, {name}", inside, doc=0.1)
        if roll < 0.55:
            inside = [f"return f{_text_of(w, names)}"]
            return function(
                w, w.pick(("__str__", "__repr__", "describe_it")), "self", inside, doc=0.05
            )
        if roll < 0.75:
            other = w.noun()
            inside = [f"self.{name} += {other}", f"return self.{name}"]
            return function(
                w, w.function_name(), f"self, {other}", inside[: w.between(1, 2)], doc=0.1
            )
        inside = [*body(w, 1), leave(w)]
        return function(w, w.function_name(), f"self, {w.variable()}", inside, doc=0.1)


def _text_of(w: Writer, names: list[str]) -> str:
    quote = w.quote()
    return f"{quote}{w.words(1, 1)} {{self.{w.pick(names)}}}{quote}"


def full(w: Writer) -> Lines:
    """A class with an initialiser and up to three methods, and perhaps an object of it."""
    title = w.class_name()
    names = w.distinct(w.pick((1, 2, 2, 3, 3, 4, 5)), w.noun)
    inside = [w.docstring()] if w.chance(0.25) else []
    inside += initialiser(w, names)
    for _ in range(w.pick((0, 1, 1, 2, 3))):
        inside += ["", *method(w, names)]
    base = f"({w.class_name()})" if w.chance(0.15) else ""
    out = [f"class {title}{base}:", *indent(inside)]
    if w.chance(0.4):
        values = ", ".join(w.pick((w.atom(), w.string(1, 2), flat(w, 2))) for _ in names)
        thing = w.variable()
        out += ["", f"{thing} = {title}({values})", f"print({thing}.{w.pick(names)})"]
    return out


def settings(w: Writer) -> Lines:
    """A class of constants."""
    inside = [
        f"{w.noun()}{w.equals()}{w.pick((w.atom(), flat(w), mapping(w)))}"
        for _ in range(w.between(2, 5))
    ]
    return [f"class {w.class_name()}:", *indent(inside)]


def failure(w: Writer) -> Lines:
    """An exception class and a function that raises it."""
    title = f"{w.class_name()}Error"
    head = [f"class {title}(Exception):", *indent(["pass"] if w.chance(0.5) else [w.docstring()])]
    name = w.variable()
    inside = [f"if {name} is None:", f"    raise {title}({w.string()})", f"return {name}"]
    return [*head, "", *function(w, w.function_name(), name, inside)]


def dataclass(w: Writer) -> Lines:
    """A dataclass with annotated fields."""
    inside = [
        f"{w.noun()}: {w.pick(('int', 'str', 'float', 'bool', 'list'))}"
        for _ in range(w.between(2, 5))
    ]
    return ["@dataclass", f"class {w.class_name()}:", *indent(inside)]


def used(w: Writer) -> Lines:
    """Objects made and asked."""
    title, thing = w.class_name(), w.variable()
    out = [f"{thing} = {title}({w.string(1, 3)})"]
    for _ in range(w.between(1, 3)):
        out.append(
            w.pick((f"{thing}.{w.function_name()}()", call(w), f"{thing}.{w.noun()} = {w.atom()}"))
        )
    return out


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (4.0, full),
    (0.4, settings),
    (0.4, failure),
    (0.4, dataclass),
    (0.4, used),
)

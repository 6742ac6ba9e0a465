"""Expressions that look alike, in the same places: what opens one decides how it goes on.

A dict or a list, an f-string or a plain string, a lambda or a call, an if statement or a
conditional expression.
"""

from collections.abc import Callable

from circuit_sparsity.programs.literals import comparison
from circuit_sparsity.programs.strings import f_string, plain_label
from circuit_sparsity.programs.surroundings import surrounded
from circuit_sparsity.programs.writer import Lines, Template, Writer, block


def placed(w: Writer, text: str) -> Lines:
    """A statement with the expression `text` in one of many places."""
    x, y = w.distinct(2, w.noun)
    verb, z = w.function_name(), w.short()
    form = w.pick(_FORMS) if w.chance(0.6) else w.pick(_USUAL)
    places = {"x": x, "y": y, "z": z, "v": verb, "k": w.key(), "n": w.number(), "t": text}
    line = form.format(**places, error=w.pick(("ValueError", "KeyError", "RuntimeError")))
    return line.split("\n")


_USUAL = ("{x} = {t}", "{x} = {t}", "return {t}", "print({t})", "{v}({t})", "{x}.append({t})")
_FORMS = (
    "self.{x} = {t}",
    "{x}.{y} = {t}",
    "{x}[{n}] = {t}",
    "{x}[{z}][{y}] = {t}",
    "self.{x}[{k}] = {t}",
    "{x}: object = {t}",
    "{x} = {y} = {t}",
    "{x}, {y} = {z}, {t}",
    "{x} = {y} or ({t})",
    "{x} = {v}({t})",
    "{x} = {v}({y}, {t})",
    "{x} = {y}.{v}({t})",
    "self.{v}({t})",
    "self.{x}.{v}({t}, {n})",
    "{x}.{y}.{v}({t})",
    "{v}({x}={t})",
    "{v}({n}, {x}={t}, {y}={n})",
    "{x} = {v}({y})({t})",
    "return {v}({t})",
    "return {x}, {t}",
    "return {x} if {y} else {t}",
    "return {t} if {y} else {x}",
    "print({x} if {y} else {t})",
    "{x} = ({y} if {z} else {t})",
    "{x} = {t} if {y} else {n}",
    "raise {error}({t})",
    "raise {error}({x}, {t})",
    "if {x} == ({t}):\n    {y} = {n}",
    "if {x} in ({t}):\n    {v}({x})",
    "while {x} != ({t}):\n    {v}({x})",
    "for {x} in {t}:\n    {v}({x})",
    "assert {x} != ({t})",
    "assert {v}({x}) == ({t})",
    "assert {x} > {n}, ({t})",
    "{x} = {y} == ({t})",
    "{x} = not ({t})",
    "{x} = [{t}, {y}]",
    "{x} = ({t}, {t})",
    "{x} = {{{k}: {t}}}",
    "{x} = await {v}({t})",
    "await {v}({t})",
    "yield {x}, {t}",
    "yield ({t})",
    "yield from {v}({t})",
    "{x} = yield {t}",
    "{x} = lambda {z}: {t}",
    "{v}(lambda: {t})",
    "return lambda: {t}",
    "{x} = [{t} for {z} in {y}]",
    "{x} = {v}({t} for {z} in {y})",
    "with {v}({t}) as {x}:\n    {v}({x})",
    "@{v}({t})\ndef {x}():\n    pass",
    "def {v}({z}={t}):\n    return {z}",
    "del {x}[{t}]",
)


def _entries(w: Writer) -> str:
    """A dict or a list of the same look."""
    is_dict, quote = w.chance(0.5), w.quote()
    n = w.between(1, 4)
    keys_are_numbers = w.chance(0.2)
    values = w.pick(("text", "number", "name"))

    def text() -> str:
        return f"{quote}{w.pick((w.noun(), w.words(1, 1)))}{quote}"

    def item(sort: str) -> str:
        return {"text": text, "number": w.number, "name": w.variable}[sort]()

    if is_dict:
        pairs = (f"{w.number() if keys_are_numbers else text()}: {item(values)}" for _ in range(n))
        return "{" + ", ".join(pairs) + "}"
    if w.chance(0.5):
        return "[" + ", ".join(text() for _ in range(n * w.between(1, 2))) + "]"
    pairs = (f"{text()}, {item(values)}" for _ in range(n))
    return "[" + ", ".join(pairs) + "]"


def entries(w: Writer) -> Lines:
    """Dicts and lists of one look in statements of all kinds."""
    return _series(w, _entries)


def labels(w: Writer) -> Lines:
    """F-strings and plain strings of one look in statements of all kinds."""

    def label(w: Writer) -> str:
        if w.chance(0.4):
            return _short_label(w)
        return f_string(w) if w.chance(0.5) else plain_label(w)

    return _series(w, label)


def _short_label(w: Writer) -> str:
    """Words, and then the end or a variable."""
    quote, text = w.quote(), w.words(1, 4)
    name = w.pick((w.noun(), w.variable(), f"{w.noun()}.{w.noun()}", f"self.{w.noun()}"))
    if w.chance(0.5):
        return f"f{quote}{text} {{{name}}}{quote}"
    return f"{quote}{text}{quote}"


def functions(w: Writer) -> Lines:
    """Lambdas and calls in the same places."""

    def either(w: Writer) -> str:
        x = w.noun() if w.chance(0.7) else w.variable()
        if w.chance(0.5):
            more = f", {w.short()}_" if w.chance(0.12) else ""
            inside = w.pick((f"{x} + {w.number()}", f"{x} * {w.number()}", x, f"{x}.{w.noun()}"))
            return f"lambda {x}{more}: {inside}"
        given = w.pick((w.number(), w.number(), w.variable(), w.key(), ""))
        return f"{x}({given})"

    return _series(w, either)


def _series(w: Writer, make: Callable[[Writer], str]) -> Lines:
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        out += placed(w, make(w))
    return out


_VALUES: tuple[Callable[[Writer], str], ...] = (
    lambda w: w.variable(),
    lambda w: w.variable(),
    lambda w: w.number(),
    lambda w: w.key(),
    lambda w: f"{w.noun()}.{w.noun()}",
    lambda w: f"self.{w.noun()}",
    lambda w: f"{w.noun()}[{w.short()}]",
    lambda w: f"{w.function_name()}({w.variable()})",
    lambda w: f"await {w.function_name()}({w.variable()})",
    lambda w: f"{w.variable()} + {w.number()}",
)
_TESTS: tuple[Callable[[Writer], str], ...] = (
    lambda w: w.variable(),
    lambda w: w.noun(),
    lambda w: f"not {w.noun()}",
    lambda w: f"{w.noun()} > {w.number()}",
    lambda w: f"{w.noun()} < {w.noun()}",
    lambda w: f"{w.noun()} == {w.variable()}",
    lambda w: f"self.{w.noun()}",
    lambda w: f"{w.noun()}.{w.noun()}",
    lambda w: f"{w.noun()}.{w.function_name()}()",
    lambda w: f"{w.noun()} in {w.plural()}",
    lambda w: f"{w.noun()} is None",
    comparison,
)
_STATEMENTS = (
    "{x} = {value}",
    "{x} = {value}",
    "return {value}",
    "{x}.{y} = {value}",
    "self.{x} = {value}",
    "{x}[{k}] = {value}",
    "{x}[{z}] = {value}",
    "{x} += {value}",
    "{x}: int = {value}",
    "{x}, {y} = {z}, {value}",
    "yield {z}, {value}",
    "self.{x} += {value}",
    "{x} = {y} = {value}",
)


def choices(w: Writer) -> Lines:
    """A statement and then a condition, or the two as one conditional expression."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        x, y = w.distinct(2, w.noun)
        value, test = w.pick(_VALUES)(w), w.pick(_TESTS)(w)
        other = w.pick(_VALUES)(w) if w.chance(0.6) else w.number()
        form = w.pick(_STATEMENTS)
        if w.chance(0.15):
            form = f"{w.function_name()}({{value}})"
        places = {"x": x, "y": y, "z": w.short(), "k": w.key()}
        if w.chance(0.5):
            out.append(form.format(**places, value=f"{value} if {test} else {other}"))
            continue
        out.append(form.format(**places, value=value))
        inside = w.pick(
            (f"{x} = {other}", f"return {other}", f"print({x})", "pass", f"{y}.append({x})")
        )
        out += block(f"if {test}:", [inside])
    return out


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (1.2, surrounded(entries)),
    (1.2, surrounded(labels)),
    (1.2, surrounded(functions)),
    (1.2, surrounded(choices)),
    (0.3, entries),
    (0.3, labels),
    (0.3, functions),
    (0.3, choices),
)

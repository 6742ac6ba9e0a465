"""Where lines stand: what comes before them, and the statements they are in the body of.

A question about a line is asked in so many surroundings that only the line itself tells.
"""

from collections.abc import Callable
from functools import wraps

from circuit_sparsity.programs.literals import comparison, flat, mapping
from circuit_sparsity.programs.strings import call, labelled
from circuit_sparsity.programs.writer import Lines, Template, Writer, block, indent

_ERRORS = ("ValueError", "KeyError", "TypeError", "OSError", "IndexError", "Exception")


def surrounded(question: Template) -> Template:
    """The template that writes the lines of `question` in surroundings of any kind."""

    @wraps(question)
    def write(w: Writer) -> Lines:
        with w.scope():
            lines = [*leads(w), *question(w)]
            for _ in range(w.pick((0, 0, 1, 1, 1, 2))):
                lines = _inside(w, lines)
        return lines

    return write


def leads(w: Writer) -> Lines:
    """None to two statements of any kind that come before others."""
    return [line for _ in range(w.pick((0, 0, 0, 1, 1, 2))) for line in lead(w)]


def lead(w: Writer) -> Lines:
    """One statement of any kind, of one line or with a body of one line."""
    roll = w.random()
    if roll < 0.55:
        return [simple(w)]
    if roll < 0.65:
        return [call(w) if w.chance(0.6) else labelled(w)]
    if roll < 0.75:
        return [w.comment()]
    if roll < 0.8:
        return block(f"if {comparison(w)}:", [w.pick(_LEAVING)])
    return block(head(w), [simple(w)])


def simple(w: Writer) -> str:
    """A statement of one line, of any kind."""
    return w.pick(_SIMPLE)(w)


_LEAVING = ("continue", "break", "return", "return None", "pass")
_SIMPLE: tuple[Callable[[Writer], str], ...] = (
    lambda w: f"{w.variable()} = {w.atom()}",
    lambda w: f"{w.variable()} = {w.variable()}",
    lambda w: f"{w.variable()} = {w.pick(('True', 'False'))}",
    lambda w: f"{w.variable()} = {w.function_name()}({w.variable()})",
    lambda w: f"{w.variable()} = {w.variable()}.{w.noun()}",
    lambda w: f"{w.variable()} = {w.variable()}.{w.function_name()}({w.number()})",
    lambda w: f"{w.variable()} = not {w.variable()}",
    lambda w: f"{w.variable()} = {w.variable()} or {w.variable()}",
    lambda w: f"{w.variable()} = {w.noun()} if {w.variable()} else {w.number()}",
    lambda w: f"{w.variable()} = lambda {w.short()}: {w.variable()}",
    lambda w: f"{w.variable()} = await {w.function_name()}({w.variable()})",
    lambda w: f"{w.variable()}, {w.noun()} = {w.atom()}, {w.variable()}",
    lambda w: f"{w.variable()}: int = {w.variable()}",
    lambda w: f"{w.plural()} = {flat(w, w.between(0, 4))}",
    lambda w: f"{w.plural()} = {mapping(w, w.between(0, 2))}",
    lambda w: f"{w.plural()} = {w.pick(('set()', 'list()', 'dict()'))}",
    lambda w: f"{w.variable()} += {w.number()}",
    lambda w: f"{w.variable()} -= {w.variable()}",
    lambda w: f"{w.variable()}[{w.key()}] = {w.variable()}",
    lambda w: f"{w.variable()}[{w.short()}] += {w.number()}",
    lambda w: f"{w.variable()}.{w.noun()} = {w.number()}",
    lambda w: f"self.{w.noun()} = {w.atom()}",
    lambda w: f"self.{w.noun()} += {w.variable()}",
    lambda w: f"self.{w.function_name()}()",
    lambda w: f"self.{w.function_name()}({w.variable()}, {w.number()})",
    lambda w: f"{w.plural()}.append({w.variable()})",
    lambda w: f"{w.plural()}.{w.pick(('sort', 'clear', 'pop'))}()",
    lambda w: f"{w.function_name()}({w.variable()})",
    lambda w: f"{w.function_name()}()",
    lambda w: f"print({w.variable()})",
    lambda w: f"assert {w.variable()} > {w.number()}",
    lambda w: f"assert {w.variable()}.{w.noun()}",
    lambda w: f"assert not {w.variable()}",
    lambda w: f"del {w.variable()}[{w.number()}]",
    lambda w: f"await {w.function_name()}({w.variable()})",
    lambda w: f"await self.{w.noun()}.{w.function_name()}()",
    lambda w: f"yield {w.variable()}, {w.variable()}",
    lambda w: f"yield self.{w.noun()}",
    lambda w: f"nonlocal {w.noun()}",
    lambda w: f"global {', '.join(w.distinct(2, w.noun))}",
    lambda w: f"import {w.noun()}",
    lambda w: f"from {w.noun()} import {w.noun()}",
    lambda w: f'"""{w.words(2, 5).capitalize()}."""',
    lambda w: "pass",
)


def head(w: Writer) -> str:
    """The first line of a statement that has a body: a condition, a loop, `with`."""
    x, y = w.distinct(2)
    roll = w.random()
    if roll < 0.3:
        return f"if {comparison(w)}:"
    if roll < 0.55:
        return w.pick(
            (
                f"for {x} in {w.plural()}:",
                f"for {x} in range({w.number()}):",
                f"for {x}, {y} in {w.plural()}:",
                f"for {x} in self.{w.plural()}.values():",
                f"for {x} in sorted({w.plural()}):",
                f"async for {x} in {y}.{w.function_name()}():",
            )
        )
    if roll < 0.7:
        return w.pick((f"while {comparison(w)}:", f"while {x}:", f"while {x}.{w.noun()}:"))
    return w.pick(
        (
            f"with {x}:",
            f"with {x} as {y}:",
            f"with {x}.{w.noun()}:",
            f"with {w.function_name()}({x}):",
            f"with {w.function_name()}({x}) as {y}:",
            f"with self.{w.noun()} as {y}:",
            f"async with {x} as {y}:",
        )
    )


def _inside(w: Writer, lines: Lines) -> Lines:
    """The lines as the body of a statement, with others before it."""
    roll = w.random()
    if roll < 0.3:
        return [*_decorators(w), *block(f"{_def(w)}({parameters(w)}):", lines)]
    if roll < 0.5:
        return _method(w, lines)
    if roll < 0.8:
        return [*leads(w), *block(head(w), lines)]
    if roll < 0.87:
        first = block(f"if {comparison(w)}:", lead(w))
        other = w.pick(("else:", f"elif {comparison(w)}:"))
        return [*first, *block(other, lines)]
    failure = f"except {w.pick(_ERRORS)}{w.pick(('', ' as error', ' as e'))}:"
    if roll < 0.94:
        return [*block("try:", lines), *block(failure, lead(w))]
    return [*block("try:", lead(w)), *block(failure, lines)]


def _def(w: Writer) -> str:
    return f"def {w.function_name()}"


def parameters(w: Writer, first: tuple[str, ...] = ()) -> str:
    """Up to four parameters after `first`: plain, annotated or with a default."""
    names = w.distinct(w.pick((0, 1, 1, 2, 3)))
    sorts = ("int", "str", "list", "float")
    style = w.pick(("", "", "", "typed", "default"))
    if style == "typed":
        names = [f"{name}: {w.pick(sorts)}" for name in names]
    elif style == "default":
        names = [f"{name}={w.atom()}" for name in names]
    return ", ".join((*first, *names))


def _decorators(w: Writer) -> Lines:
    if w.chance(0.8):
        return []
    return [f"@{w.noun()}({w.pick((w.number(), w.noun(), w.key()))})"]


def _method(w: Writer, lines: Lines) -> Lines:
    base = f"({w.class_name()})" if w.chance(0.3) else ""
    word = "async def" if w.chance(0.2) else "def"
    name = "__init__" if w.chance(0.15) and word == "def" else w.function_name()
    inside = block(f"{word} {name}({parameters(w, ('self',))}):", lines)
    fields = [f"{w.noun()} = {w.atom()}"] if w.chance(0.2) else []
    return [f"class {w.class_name()}{base}:", *indent([*fields, *inside])]

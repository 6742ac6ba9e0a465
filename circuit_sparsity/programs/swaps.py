"""Two or three things that change places, in an order that nothing before tells."""

from circuit_sparsity.programs.literals import comparison
from circuit_sparsity.programs.surroundings import surrounded
from circuit_sparsity.programs.writer import Lines, Template, Writer, block


def _swap(a: str, b: str) -> str:
    return f"{a}, {b} = {b}, {a}"


def _two(w: Writer) -> tuple[str, str]:
    a, b = w.distinct(2, w.noun if w.chance(0.8) else w.variable)
    return a, b


def names(w: Writer) -> Lines:
    """Pairs of names, each swapped once."""
    return [_swap(*_two(w)) for _ in range(w.between(1, 4))]


def made(w: Writer) -> Lines:
    """Variables made, then swapped in either order."""
    a, b = _two(w)
    values = w.pick(((w.atom(), w.atom()), (w.variable(), w.variable()), (w.number(), a)))
    lines = [f"{a} = {values[0]}", f"{b} = {values[1]}"]
    between = [w.comment()] if w.chance(0.2) else []
    a, b = (a, b) if w.chance(0.5) else (b, a)
    return [*lines, *between, _swap(a, b)]


def given(w: Writer) -> Lines:
    """Arguments swapped in either order, perhaps under a condition."""
    a, b = _two(w)
    head = f"def {w.function_name()}({a}, {b}):"
    first, second = (a, b) if w.chance(0.5) else (b, a)
    lines = [_swap(first, second)]
    if w.chance(0.6):
        other = w.pick((f"{a} > {b}", f"{b} < {a}", f"len({a}) > len({b})", comparison(w)))
        lines = block(f"if {other}:", lines)
    return [*block(head, [*lines, f"return {w.pick((a, b))}"])]


def attributes(w: Writer) -> Lines:
    """Attributes swapped; of two swapped by themselves the object is an item or an attribute."""
    a, b = w.distinct(2, w.noun)
    x, y = _two(w)
    return [
        w.pick(
            (
                f"{x}[0].{a}, {x}[0].{b} = {x}[0].{b}, {x}[0].{a}",
                f"{x}[{w.short()}].{a}, {y} = {y}, {x}",
                f"self.{a}, {b} = {b}, self.{a}",
                f"{a}, self.{b} = self.{b}, {a}",
                f"{x}.{y}.{a}, {x}.{y}.{b} = {x}.{y}.{b}, {x}.{y}.{a}",
                f"self.{x}.{a}, self.{x}.{b} = self.{x}.{b}, self.{x}.{a}",
                f"{x}().{a}, {x}().{b} = {x}().{b}, {x}().{a}",
                f"({x}.{a}, {x}.{b}) = ({x}.{b}, {x}.{a})",
                f"[self.{a}, self.{b}] = [self.{b}, self.{a}]",
                f"{x}, {y}, self.{a} = {y}, {x}, self.{b}",
                f"return {x}.{a}, {x}.{b}, {x}.{a}",
                f"self.{a} = {a} = self.{b}.{a}",
            )
        )
        for _ in range(w.between(1, 2))
    ]


def items(w: Writer) -> Lines:
    """Items of a list, a grid or a dict swapped."""
    box = w.plural()
    i, j = w.distinct(2, w.short) if w.chance(0.4) else w.distinct(2, w.noun)
    place = w.pick(("{0}[{1}]", "{0}[{1}]", "{0}[{2}][{1}]", "self.{0}[{1}]", "{0}[{1}][{2}]"))
    inside = w.short()
    return [_swap(place.format(box, i, inside), place.format(box, j, inside))]


def three(w: Writer) -> Lines:
    """Three names put into another order, and pairs in brackets."""
    a, b, c = w.distinct(3, w.noun)
    return [
        w.pick(
            (
                f"{a}, {b}, {c} = {c}, {b}, {a}",
                f"{a}, {b}, {c} = {b}, {a}, {c}",
                f"{a}, {b} = {b}, {a} + {b}",
                f"{a}, {b} = {b}, {a} % {b}",
                f"({a}, {b}) = ({b}, {a})",
                f"[{a}, {b}] = [{b}, {a}]",
                f"{a}, {b} = {b}, {a}",
                f"for {a}, {b} in {c}s:\n    {_swap(*sorted((a, b), key=lambda _: w.random()))}",
                f"{c} = {a}\n{a} = {b}\n{b} = {c}",
                f"return {a}, {b}, {a}",
                f"{c}.append(({a}, {b}, {a}))",
            )
        )
    ]


def _lines(template: Template) -> Template:
    """The template with each line of what it writes by itself."""

    def write(w: Writer) -> Lines:
        return "\n".join(template(w)).split("\n")

    write.__name__ = template.__name__
    return write


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (2.0, names),
    (2.0, surrounded(names)),
    (1.5, made),
    (1.0, surrounded(made)),
    (1.5, given),
    (1.5, surrounded(attributes)),
    (0.7, surrounded(items)),
    (1.0, surrounded(_lines(three))),
)

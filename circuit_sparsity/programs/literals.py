"""List and dict literals of all shapes, and the expressions statements are made of."""

from circuit_sparsity.programs.writer import Lines, Writer, indent

_FLAT_LENGTHS = (0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 10)
_OPERATORS = ("+", "-", "*", "+", "-", "//", "%")
_COMPARISONS = ("==", "==", "==", "!=", ">", "<", ">=", "<=")


def flat_length(w: Writer) -> int:
    """How many elements a list gets: mostly few, now and then up to 30."""
    if w.chance(0.25 if w.long_lists else 0.06):
        return w.between(8, 30)
    return w.pick(_FLAT_LENGTHS)


def elements(w: Writer, n: int) -> list[str]:
    """`n` elements of one sort: numbers, strings, names or a mixture."""
    roll, others = w.random(), (1 - w.list_names) / 0.93
    if roll < 0.62 * others:
        top = w.pick((9, 12, 20, 99, 99, 500))
        return [str(w.between(0, top)) for _ in range(n)]
    if roll < 0.86 * others:
        return [w.key() for _ in range(n)]
    if roll < 0.86 * others + w.list_names:
        return [w.variable() for _ in range(n)]
    return [w.atom() for _ in range(n)]


def flat(w: Writer, n: int | None = None) -> str:
    """A list without a list in it: `[5, 3, 11]`."""
    n = flat_length(w) if n is None else n
    return f"[{_comma(w).join(elements(w, n))}]"


def nested(w: Writer, depth: int = 2) -> str:
    """A list of lists on one line; the rows differ in length and there may be only one."""
    if depth <= 1:
        return flat(w, max(1, flat_length(w)))
    n_rows = w.pick((1, 1, 1, 2, 2, 2, 3, 3, 4, 5))
    rows = [nested(w, depth - 1) for _ in range(n_rows)]
    if w.chance(0.06):
        rows[w.between(0, n_rows - 1)] = w.number()
    return f"[{_comma(w).join(rows)}]"


def listing(w: Writer) -> tuple[str, bool]:
    """A list literal and whether it has lists in it."""
    roll = w.random()
    if roll < 0.5:
        return flat(w), False
    return (nested(w) if roll < 0.93 else nested(w, 3)), True


def spread(w: Writer, head: str, is_nested: bool) -> Lines:
    """A list literal after `head` over several lines, one element or row each."""
    n = w.between(2, 5)
    rows = [flat(w, w.between(1, 6)) if is_nested else w.atom() for _ in range(n)]
    trail = w.chance(0.7)
    last = n - 1
    body = [row + ("," if trail or i < last else "") for i, row in enumerate(rows)]
    return [f"{head}[", *indent(body), "]"]


def mapping(w: Writer, n: int | None = None) -> str:
    """A dict on one line with string keys, at times with lists or dicts as values."""
    n = w.pick((0, 1, 2, 2, 3, 3, 4, 5)) if n is None else n
    return "{" + ", ".join(f"{w.key()}: {mapping_value(w)}" for _ in range(n)) + "}"


def mapping_value(w: Writer) -> str:
    roll = w.random()
    if roll < 0.45:
        return w.number()
    if roll < 0.75:
        return w.string(1, 3)
    if roll < 0.85:
        return flat(w, w.between(1, 4))
    if roll < 0.9:
        return mapping(w, w.between(1, 2))
    return w.some()


def operand(w: Writer) -> str:
    """A number, a variable or an item of something in scope."""
    roll = w.random()
    if roll < 0.45:
        return w.known("number", "item") or w.variable()
    if roll < 0.55:
        name = w.known("list", "nested")
        return f"len({name})" if name else w.short()
    if roll < 0.62:
        name = w.known("dict")
        return f"{name}[{w.key()}]" if name else w.number()
    if roll < 0.8:
        return w.short()
    return w.number()


def arithmetic(w: Writer) -> str:
    """An expression of numbers, with one to three operands."""
    text = operand(w)
    for _ in range(w.pick((0, 1, 1, 1, 2))):
        text = f"{text} {w.pick(_OPERATORS)} {operand(w)}"
    return f"({text}) {w.pick(_OPERATORS)} {operand(w)}" if w.chance(0.08) else text


def comparison(w: Writer) -> str:
    """A test of one value: a comparison, a membership or a flag."""
    roll = w.random()
    name = w.some()
    if roll < 0.6:
        right = w.number() if w.chance(0.6) else w.key() if w.chance(0.5) else w.some()
        return f"{name} {w.pick(_COMPARISONS)} {right}"
    if roll < 0.68:
        return f"{name} == {w.pick(('True', 'False', 'None'))}"
    if roll < 0.76:
        return f"{name} is {w.pick(('None', 'not None'))}"
    if roll < 0.84:
        return f"not {name}"
    if roll < 0.94:
        box = w.known("list", "set", "dict") or w.plural()
        item = w.key() if w.chance(0.4) else w.some()
        return f"{item} {w.pick(('in', 'not in'))} {box}"
    return name


def condition(w: Writer) -> str:
    """One comparison, or two joined by `and` or `or`."""
    text = comparison(w)
    if w.chance(0.15):
        return f"{text} {w.pick(('and', 'or'))} {comparison(w)}"
    return text


def _comma(w: Writer) -> str:
    return ", " if w.random() < 0.93 else ","

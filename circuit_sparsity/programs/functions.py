"""Functions with plain, default and keyword arguments, lambdas, decorators and generators."""

from circuit_sparsity.programs.blocks import body, function, leave
from circuit_sparsity.programs.literals import arithmetic, condition
from circuit_sparsity.programs.writer import Lines, Template, Writer, block, indent


def plain(w: Writer) -> Lines:
    """A function of up to six arguments without defaults."""
    with w.scope():
        names = w.distinct(w.pick((0, 1, 1, 2, 2, 3, 3, 4, 6)))
        for name in names:
            w.declare(name, "number")
        return function(w, w.function_name(), ", ".join(names), [*body(w, 1), leave(w)])


def all_default(w: Writer) -> Lines:
    """A function whose arguments all default to None."""
    with w.scope():
        names = w.distinct(w.pick((1, 2, 2, 3, 3, 4, 5)))
        parameters = ", ".join(f"{name}=None" for name in names)
        lines: Lines = []
        if w.chance(0.5):
            chosen = w.pick(names)
            empty = w.pick(("[]", "{}", w.number(), w.key()))
            lines += block(f"if {chosen} is None:", [f"{chosen} = {empty}"])
        return function(w, w.function_name(), parameters, [*lines, *body(w, 0), leave(w)])


def some_default(w: Writer) -> Lines:
    """A function whose last arguments have defaults of all kinds."""
    with w.scope():
        names = w.distinct(w.between(2, 5))
        first = w.between(0, len(names) - 1)
        values = [f"{name}={w.pick((w.atom(), 'None', 'None'))}" for name in names[first:]]
        parameters = ", ".join([*names[:first], *values])
        return function(w, w.function_name(), parameters, [*body(w, 0), leave(w)])


def typed(w: Writer) -> Lines:
    """A function with annotations."""
    sorts = ("int", "str", "float", "list", "dict", "bool")
    with w.scope():
        names = w.distinct(w.between(1, 3))
        parameters = ", ".join(f"{name}: {w.pick(sorts)}" for name in names)
        head = f"def {w.function_name()}({parameters}) -> {w.pick(sorts)}:"
        return [head, *indent([*body(w, 0), leave(w)])]


def called(w: Writer) -> Lines:
    """Calls with keyword arguments."""
    out: Lines = []
    for _ in range(w.between(1, 3)):
        given = [f"{name}={w.atom()}" for name in w.distinct(w.between(1, 4))]
        first = [w.variable()] if w.chance(0.4) else []
        text = f"{w.function_name()}({', '.join([*first, *given])})"
        out.append(f"{w.variable()}{w.equals()}{text}" if w.chance(0.6) else text)
    return out


def lambdas(w: Writer) -> Lines:
    """Lambdas by name, as a sort key, in map and filter."""
    out: Lines = []
    for _ in range(w.between(1, 3)):
        x = w.variable()
        inside = w.pick(
            (f"{x} * {w.number()}", f"{x} + {w.number()}", f"{x}[{w.between(0, 2)}]", f"-{x}")
        )
        roll = w.random()
        if roll < 0.4:
            out.append(f"{w.variable()}{w.equals()}lambda {x}: {inside}")
        elif roll < 0.6:
            out.append(f"{w.plural()}.sort(key=lambda {x}: {inside})")
        elif roll < 0.8:
            kind = w.pick(("map", "filter"))
            out.append(
                f"{w.variable()}{w.equals()}list({kind}(lambda {x}: {inside}, {w.plural()}))"
            )
        elif roll < 0.9:
            y = w.short()
            out.append(f"{w.variable()}{w.equals()}lambda {x}, {y}_: {x} + {y}_")
        else:
            out.append(f"{w.plural()} = sorted({w.plural()}, key=lambda {x}: {inside})")
    return out


def short_one(w: Writer) -> Lines:
    """A function of one line in its body, and a call of it."""
    name, x = w.function_name(), w.variable()
    with w.scope():
        w.declare(x, "number")
        out = function(w, name, x, [f"return {arithmetic(w)}"], doc=0.1)
    return [*out, "", f"print({name}({w.number()}))"] if w.chance(0.6) else out


def recursion(w: Writer) -> Lines:
    """A function that calls itself."""
    name, n = w.function_name(), w.variable()
    base = block(
        f"if {n} {w.pick(('<=', '<', '=='))} {w.between(0, 2)}:",
        [f"return {w.pick((n, '1', '0'))}"],
    )
    step = f"return {w.pick((n, '1', '2'))} {w.pick(('+', '*'))} {name}({n} - {w.between(1, 2)})"
    return function(w, name, n, [*base, step])


def generator(w: Writer) -> Lines:
    """A function that yields."""
    with w.scope():
        box, item = w.plural(), w.noun()
        inside = [f"yield {w.pick((item, f'{item} * 2', f'{item}, {w.number()}'))}"]
        if w.chance(0.4):
            inside = block(f"if {condition(w)}:", inside)
        return function(w, w.function_name(), box, block(f"for {item} in {box}:", inside))


def decorator(w: Writer) -> Lines:
    """A decorator and a function that wears it."""
    name = w.function_name()
    inside = [
        "def wrapper(*args, **kwargs):",
        *indent([*body(w, 0), "return func(*args, **kwargs)"]),
        "return wrapper",
    ]
    lines = function(w, name, "func", inside)
    return [*lines, "", f"@{name}", *short_one(w)]


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (2.0, plain),
    (1.5, all_default),
    (1.0, some_default),
    (0.4, typed),
    (0.8, called),
    (1.5, lambdas),
    (0.8, short_one),
    (0.4, recursion),
    (0.4, generator),
    (0.2, decorator),
)

"""First lines of functions and loops after statements of all kinds."""

from circuit_sparsity.programs.surroundings import lead, leads, surrounded
from circuit_sparsity.programs.writer import Lines, Template, Writer, block, indent


def _signature(w: Writer) -> str:
    """Up to five parameters: all plain, all with the default None, or some with any default."""
    names = w.distinct(w.pick((1, 2, 2, 2, 3, 3, 4, 5)), w.noun if w.chance(0.7) else w.variable)
    roll = w.random()
    if roll < 0.47:
        return ", ".join(names)
    if roll < 0.94:
        first = w.between(0, len(names) - 1) if w.chance(0.4) else 0
        return ", ".join((*names[:first], *(f"{name}=None" for name in names[first:])))
    first = w.between(0, len(names) - 1)
    return ", ".join((*names[:first], *(f"{name}={w.atom()}" for name in names[first:])))


def _inside(w: Writer) -> Lines:
    return w.pick((["pass"], [f"return {w.variable()}"], lead(w)))


def functions(w: Writer) -> Lines:
    """Functions one after another, with statements between and functions inside."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        name = w.noun() if w.chance(0.4) else w.function_name()
        inside = _inside(w)
        if w.chance(0.2):
            inside = [*leads(w), *block(f"def {w.noun()}({_signature(w)}):", _inside(w))]
        decorator = []
        if w.chance(0.15):
            decorator = [f"@{w.noun()}({w.pick((w.number(), w.variable()))})"]
        out += [*decorator, *block(f"def {name}({_signature(w)}):", inside)]
        out += leads(w) if w.chance(0.4) else [""] if w.chance(0.5) else []
    return out


def methods(w: Writer) -> Lines:
    """Methods of a class, plain and async, among fields and lambdas."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        if w.chance(0.25):
            x = w.noun()
            out += w.pick(
                (
                    [f"{w.noun()} = {w.atom()}"],
                    [f"{w.noun()} = lambda {x}: {x} + {w.number()}"],
                    [f"{w.noun()}: str = {w.noun()}"],
                    [w.comment()],
                )
            )
        word = w.pick(("def", "def", "def", "def", "async def"))
        decorator = [f"@{w.noun()}({w.number()})"] if w.chance(0.15) else []
        name = w.pick((w.function_name(), w.noun(), "__init__"))
        first = "cls" if word == "def" and w.chance(0.3) else "self"
        head = f"{word} {name}({first}, {_signature(w)}):"
        out += [*decorator, *block(head, _inside(w))]
        out += [""] if w.chance(0.3) else []
    return [f"class {w.class_name()}:", *indent(out)]


def loops(w: Writer) -> Lines:
    """Loops by `for` and `while` of the same variable names, each after any statement."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        x, y = w.distinct(2, w.noun if w.chance(0.75) else w.variable)
        roll = w.random()
        if roll < 0.4:
            first = f"while {x}:"
        elif roll < 0.7:
            first = f"for {x} in {w.pick((w.plural(), w.plural(), f'{y}.{w.plural()}', y))}:"
        elif roll < 0.8:
            first = f"for {x} in range({w.pick((w.number(), y))}):"
        elif roll < 0.9:
            first = f"for {x}, {y} in enumerate({w.plural()}):"
        else:
            first = f"while {x} {w.pick(('<', '>', '!='))} {w.pick((y, w.number()))}:"
        inside = w.pick(([f"{w.function_name()}({x})"], [f"{y} += {w.number()}"], lead(w)))
        out += block(first, inside)
        out += lead(w) if w.chance(0.5) else []
    return out


def named(w: Writer) -> Lines:
    """Functions and lambdas of the same names, in either order."""
    out: Lines = []
    for _ in range(w.pick((2, 2, 3))):
        x, y = w.distinct(2, w.noun)
        if w.chance(0.5):
            out.append(f"{x} = lambda {y}: {w.pick((y, f'{y} * {w.number()}'))}")
        else:
            given = w.pick(("", "", y, _signature(w)))
            out += block(f"def {x}({given}):", [f"return {w.pick((y, w.number()))}"])
        out += lead(w) if w.chance(0.4) else []
    return out


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (0.6, functions),
    (1.2, surrounded(functions)),
    (1.2, methods),
    (0.5, loops),
    (1.5, surrounded(loops)),
    (0.4, named),
    (1.0, surrounded(named)),
)

"""The frame of a module: imports, guarded work, checks, and a main function."""

from circuit_sparsity.programs.blocks import body, compound, function, leave, script
from circuit_sparsity.programs.strings import call
from circuit_sparsity.programs.writer import Lines, Template, Writer, block

_MODULES = ("os", "sys", "json", "math", "random", "re", "time", "csv", "datetime", "collections")
_MEMBERS = (
    ("collections", "defaultdict"),
    ("collections", "Counter"),
    ("collections", "deque"),
    ("dataclasses", "dataclass"),
    ("pathlib", "Path"),
    ("typing", "List"),
    ("typing", "Optional"),
    ("functools", "lru_cache"),
    ("itertools", "chain"),
    ("math", "sqrt"),
)


def imports(w: Writer) -> Lines:
    """One to four imports, also of modules of the program's own."""
    out: Lines = []
    for _ in range(w.between(1, 4)):
        roll = w.random()
        if roll < 0.5:
            out.append(f"import {w.pick(_MODULES)}")
        elif roll < 0.8:
            module, member = w.pick(_MEMBERS)
            out.append(f"from {module} import {member}")
        else:
            out.append(f"from {w.noun()} import {w.pick((w.class_name(), w.function_name()))}")
    return [*dict.fromkeys(out), ""]


def main(w: Writer) -> Lines:
    """A main function and the guard that calls it."""
    with w.scope():
        lines = function(w, "main", "", [*body(w, 1)])
    return [*lines, "", 'if __name__ == "__main__":', "    main()"]


def attempts(w: Writer) -> Lines:
    """`try` with its handlers."""
    sort = w.pick(("ValueError", "KeyError", "IndexError", "ZeroDivisionError", "Exception"))
    alias = w.pick(("", " as e", " as exc"))
    report = f"print({alias.split()[-1]})" if alias and w.chance(0.5) else call(w)
    out = [*block("try:", body(w, 0)), *block(f"except {sort}{alias}:", [report])]
    if w.chance(0.2):
        out += block("else:", body(w, 0))
    return [*out, *block("finally:", [call(w)])] if w.chance(0.25) else out


def library(w: Writer) -> Lines:
    """Calls of the standard modules."""
    return [_library_call(w) for _ in range(w.between(1, 4))]


def _library_call(w: Writer) -> str:
    roll = w.random()
    if roll < 0.2:
        return w.pick((f"time.sleep({w.number()})", f"del {w.some()}"))
    if roll < 0.3:
        return f"assert {w.some()} == {w.atom()}"
    given, name = w.some(), w.name_for("item")
    value = w.pick(
        (
            f"math.{w.pick(('sqrt', 'floor', 'ceil'))}({given})",
            f"random.randint({w.between(0, 5)}, {w.between(6, 99)})",
            f"random.choice({w.plural()})",
            f"os.path.join({given}, {w.key()})",
            f"json.loads({given})",
            f"json.dumps({w.plural()})",
            f"defaultdict({w.pick(('list', 'int', 'set'))})",
            f"int(input({w.string(2, 5)}))",
        )
    )
    return f"{name}{w.equals()}{value}"


def routine(w: Writer) -> Lines:
    """A function with a body of any kind."""
    with w.scope():
        names = w.distinct(w.between(0, 3))
        for name in names:
            w.declare(name, w.pick(("number", "list", "text", "dict", "set")))
        lines = [*body(w, 1), *compound(w, 1), leave(w)]
        return function(w, w.function_name(), ", ".join(names), lines)


def remarks(w: Writer) -> Lines:
    """Comments of a line or two, then statements."""
    return [w.comment() for _ in range(w.between(1, 2))] + body(w, 0)


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (1.0, imports),
    (0.7, main),
    (0.8, attempts),
    (0.8, library),
    (1.5, routine),
    (1.5, script),
    (0.4, remarks),
)

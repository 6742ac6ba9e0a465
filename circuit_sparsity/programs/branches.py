"""Conditions and truths after statements of all kinds: `==` and `=`, `else` and `elif`, `True`."""

from circuit_sparsity.programs.literals import comparison
from circuit_sparsity.programs.surroundings import lead, simple, surrounded
from circuit_sparsity.programs.writer import Lines, Template, Writer, block


def truths(w: Writer) -> Lines:
    """`True` assigned, compared, returned and looped on."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        x = w.noun() if w.chance(0.8) else f"self.{w.noun()}"
        value = "True" if w.chance(0.85) else "False"
        roll = w.random()
        if roll < 0.3:
            out.append(f"{x} = {value}")
        elif roll < 0.55:
            out += block(f"if {x} == {value}:", [simple(w)])
        elif roll < 0.78:
            out += block("while True:", [simple(w), *_leave(w)])
        else:
            out += _leave(w)
        out += lead(w) if w.chance(0.25) else []
    return out


def _leave(w: Writer) -> Lines:
    value = w.pick(("True", "True", "False"))
    line = w.pick((f"return {value}", f"return {value}", "break"))
    return block(f"if {comparison(w)}:", [line]) if w.chance(0.4) else [line]


def otherwise(w: Writer) -> Lines:
    """`if` with `else` or `elif` after statements of all kinds."""
    out: Lines = []
    for _ in range(w.pick((1, 1, 2))):
        out += block(
            f"if {comparison(w)}:", [*lead(w), simple(w)] if w.chance(0.3) else [simple(w)]
        )
        for _ in range(w.pick((0, 1, 1, 2))):
            out += block(f"elif {comparison(w)}:", [simple(w)])
        out += block("else:", [simple(w)]) if w.chance(0.7) else []
    return out


def values(w: Writer) -> Lines:
    """A value assigned, or compared in a condition."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        x = w.noun() if w.chance(0.85) else f"{w.noun()}.{w.noun()}"
        value = w.number() if w.chance(0.75) else w.atom()
        if w.chance(0.5):
            out.append(f"{x} = {value}")
        else:
            word = w.pick(("if", "if", "if", "while"))
            out += block(f"{word} {x} == {value}:", [simple(w)])
        out += lead(w) if w.chance(0.25) else []
    return out


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (1.0, surrounded(truths)),
    (1.0, surrounded(otherwise)),
    (1.0, surrounded(values)),
    (0.4, truths),
    (0.4, values),
)

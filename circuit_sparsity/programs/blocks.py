"""Statements and the bodies they make up, each true to what the variables in scope hold."""

from circuit_sparsity.programs.literals import (
    arithmetic,
    comparison,
    condition,
    flat,
    listing,
    mapping,
    spread,
)
from circuit_sparsity.programs.strings import call, labelled, text_work
from circuit_sparsity.programs.writer import Kind, Lines, Writer, block, indent

_KINDS: tuple[Kind, ...] = ("number", "text", "list", "nested", "set", "dict", "flag")


def make(w: Writer, kind: Kind) -> Lines:
    """An assignment that makes a new variable of `kind`."""
    name = w.name_for(kind)
    sign = w.equals()
    if kind == "number":
        return [f"{name}{sign}{arithmetic(w) if w.chance(0.4) else w.number()}"]
    if kind == "text":
        quote = w.quote()
        return [f"{name}{sign}{quote * 2 if w.chance(0.4) else w.string()}"]
    if kind == "set":
        return [f"{name}{sign}{'set()' if w.chance(0.75) else f'set({w.plural()})'}"]
    if kind == "dict":
        return [f"{name}{sign}{mapping(w)}"]
    if kind == "flag":
        return [f"{name}{sign}{w.pick(('True', 'False'))}"]
    return _make_list(w, name, sign)


def _make_list(w: Writer, name: str, sign: str) -> Lines:
    if w.chance(0.08):
        is_nested = w.chance(0.6)
        w.declare(name, "nested" if is_nested else "list")
        return spread(w, f"{name}{sign}", is_nested)
    # A list is often written close to its sign, as in `values =[5, 3]`.
    sign = " =" if w.chance(0.2) else sign
    text, is_nested = listing(w)
    w.declare(name, "nested" if is_nested else "list")
    return [f"{name}{sign}{text}"]


def use(w: Writer, name: str, kind: Kind) -> str:
    """One line that changes or reads `name` in a way its kind allows."""
    roll = w.random()
    item = w.known("item") or w.some() if w.chance(0.6) else w.atom()
    if kind == "set":
        if roll < 0.75:
            return f"{name}.add({item})"
        return f"{name}.{w.pick(('discard', 'remove', 'update'))}({w.some()})"
    if kind == "text":
        if roll < 0.7:
            return f"{name} += {w.string(1, 2) if w.chance(0.5) else item}"
        return text_work(w)
    if kind == "list":
        if roll < 0.7:
            return f"{name}.append({item})"
        return f"{name}.{w.pick(('sort()', 'pop()', 'reverse()', 'clear()'))}"
    if kind == "nested":
        return f"{name}.append({flat(w, w.between(1, 5))})"
    if kind == "dict":
        return f"{name}[{w.key() if w.chance(0.6) else w.some()}] = {item}"
    if kind == "number":
        return f"{name} {w.pick(('+=', '+=', '-=', '*='))} {arithmetic(w)}"
    if kind == "item":
        return f"{w.pick(('print', w.function_name()))}({name})"
    return f"{name}{w.equals()}{w.pick(('True', 'False'))}"


def statement(w: Writer) -> Lines:
    """A statement of one line: a new variable, a use of an old one, a call."""
    roll = w.random()
    if roll < 0.28:
        return make(w, w.pick(_KINDS))
    if roll < 0.62:
        name = w.anything()
        kind = w.kind_of(name) if name else None
        return [use(w, name, kind)] if name and kind else [call(w)]
    if roll < 0.76:
        return [call(w)]
    if roll < 0.85:
        return [labelled(w)]
    if roll < 0.93:
        return [f"print({w.some()})"]
    arguments = ", ".join(w.some() for _ in range(w.between(0, 3)))
    return [f"{w.name_for('number')}{w.equals()}{w.function_name()}({arguments})"]


def compound(w: Writer, depth: int) -> Lines:
    """A loop, condition or other statement with a body, up to `depth` levels deep."""
    roll = w.random()
    if roll < 0.4:
        return [*block(f"if {condition(w)}:", body(w, depth - 1)), *_otherwise(w, depth)]
    if roll < 0.75:
        return _for(w, depth)
    if roll < 0.87:
        head = f"while {condition(w)}:"
        return block(head, body(w, depth - 1))
    caught = w.pick(("ValueError", "KeyError", "TypeError", "IndexError", "Exception"))
    alias = w.pick(("", "", " as e", " as exc"))
    head = block("try:", body(w, depth - 1))
    return [*head, *block(f"except {caught}{alias}:", [call(w)] if w.chance(0.8) else [])]


def _for(w: Writer, depth: int) -> Lines:
    name = w.known("list", "set", "dict", "nested") or w.plural()
    roll = w.random()
    if roll < 0.5:
        head = f"for {w.name_for('item')} in {name}:"
    elif roll < 0.75:
        head = f"for {w.declare(w.short(), 'number')} in range({w.between(2, 60)}):"
    else:
        i, item = w.distinct(2, lambda: w.name_for("item"))
        head = f"for {i}, {item} in enumerate({name}):"
    return block(head, body(w, depth - 1))


def _otherwise(w: Writer, depth: int) -> Lines:
    out: Lines = []
    if w.chance(0.25):
        out += block(f"elif {condition(w)}:", body(w, depth - 1))
    if w.chance(0.4):
        out += block("else:", body(w, depth - 1))
    return out


def body(w: Writer, depth: int = 1) -> Lines:
    """One to four statements; some have bodies of their own while `depth` is above 0."""
    out: Lines = []
    for _ in range(w.pick((1, 1, 1, 2, 2, 3, 4))):
        out += w.maybe_comment(0.04)
        out += compound(w, depth) if depth > 0 and w.chance(0.25) else statement(w)
    return out


def leave(w: Writer) -> str:
    """The last line of a function: a return of something in scope or of an expression."""
    roll = w.random()
    name = w.anything()
    if name and roll < 0.6:
        return f"return {name}"
    if roll < 0.72:
        return f"return {arithmetic(w)}"
    if roll < 0.85:
        return f"return {w.pick(('True', 'False', 'None'))}"
    if roll < 0.93:
        return f"return {comparison(w)}"
    return f"return {w.string(1, 3)}"


def function(w: Writer, name: str, parameters: str, inside: Lines, doc: float = 0.25) -> Lines:
    """A function of the given head, with a docstring now and then."""
    first = [w.docstring()] if w.chance(doc) else []
    return [f"def {name}({parameters}):", *indent([*first, *inside])]


def script(w: Writer) -> Lines:
    """Statements with no plan but the variables they share."""
    return [*body(w, 2), *body(w, 1)]

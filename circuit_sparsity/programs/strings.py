"""String literals: what is printed, joined, split, formatted and compared."""

from circuit_sparsity.programs.writer import Lines, Template, Writer

_CALLS = (
    "print",
    "print",
    "print",
    "print",
    "input",
    "log",
    "tell",
    "warn",
    "write",
    "say",
    "send",
)
_METHODS = (
    "append",
    "write",
    "add",
    "send",
    "info",
    "remove",
    "find",
    "startswith",
    "set",
    "index",
)
_TEXT_METHODS = ("upper", "lower", "strip", "title", "capitalize", "rstrip")


def call(w: Writer) -> str:
    """A call with one string that closes the call as well: `print("hello there")`."""
    text = w.string(1, 7)
    roll = w.random()
    if roll < 0.62:
        return f"{w.pick(_CALLS)}({text})"
    if roll < 0.7:
        return f"{w.function_name()}({text})"
    if roll < 0.8:
        return f"{w.variable()}.{w.pick(_METHODS)}({text})"
    if roll < 0.88:
        return f"{w.name_for('item')}{w.equals()}{w.function_name()}({text})"
    if roll < 0.95:
        return f"print({text}, {w.some()})"
    return f"print({w.some()}, {text})"


def f_string(w: Writer) -> str:
    """An f-string with one or two variables put in."""
    quote = w.quote()
    label = w.words(1, 3)
    name = w.some()
    roll = w.random()
    if roll < 0.4:
        inside = f"{label}: {{{name}}}"
    elif roll < 0.65:
        inside = f"{label} {{{name}}} {w.words(1, 3)}"
    elif roll < 0.8:
        inside = f"{{{name}}} {label}"
    elif roll < 0.92:
        inside = f"{label} {{{name}}}, {w.words(1, 2)} {{{w.some()}}}"
    else:
        inside = f"{label} {{{name}:{w.pick(('.2f', '3d', '.1f', '>8'))}}}"
    return f"f{quote}{inside}{w.pick(('', '', '!', '.'))}{quote}"


def plain_label(w: Writer) -> str:
    """A string of the same look as an f-string that puts nothing in."""
    quote = w.quote()
    label = w.words(1, 3)
    roll = w.random()
    if roll < 0.5:
        inside = f"{label}: {w.words(1, 2)}"
    elif roll < 0.75:
        inside = f"{label} {w.words(2, 4)}"
    else:
        inside = f"{label}, {w.words(1, 3)}"
    return f"{quote}{inside}{w.pick(('', '', '!', '.'))}{quote}"


def labelled(w: Writer) -> str:
    """A call with an f-string, or with a plain string that looks alike."""
    text = f_string(w) if w.chance(0.6) else plain_label(w)
    roll = w.random()
    if roll < 0.7:
        return f"print({text})"
    if roll < 0.9:
        return f"{w.name_for('text')}{w.equals()}{text}"
    return f"{w.variable()}.{w.pick(_METHODS)}({text})"


def text_work(w: Writer) -> str:
    """One line of work on a text: join, split, replace, format, strip."""
    name = w.known("text") or w.variable()
    roll = w.random()
    if roll < 0.25:
        box = w.known("list") or w.plural()
        return f"{w.name_for('text')}{w.equals()}{w.separator()}.join({box})"
    if roll < 0.45:
        inside = w.separator() if w.chance(0.7) else ""
        return f"{w.name_for('list')}{w.equals()}{name}.split({inside})"
    if roll < 0.6:
        return f"{name}{w.equals()}{name}.replace({w.key()}, {w.key()})"
    if roll < 0.75:
        return f"{w.name_for('text')}{w.equals()}{name}.{w.pick(_TEXT_METHODS)}()"
    if roll < 0.85:
        quote = w.quote()
        label = f"{quote}{w.words(1, 2)}: {{}}{quote}"
        return f"{w.name_for('text')}{w.equals()}{label}.format({name})"
    return f"{w.name_for('text')}{w.equals()}{w.string()} + {name}"


def conversation(w: Writer) -> Lines:
    """Several calls in a row, each with its own kind of quote."""
    return [call(w) if w.chance(0.75) else labelled(w) for _ in range(w.between(2, 6))]


def lookup(w: Writer) -> Lines:
    """Items of a dict by string keys, with both kinds of quote."""
    name = w.known("dict") or w.name_for("dict")
    out: list[str] = []
    for _ in range(w.between(1, 4)):
        roll = w.random()
        if roll < 0.35:
            out.append(f"{name}[{w.key()}]{w.equals()}{w.atom()}")
        elif roll < 0.6:
            out.append(f"{w.name_for('item')}{w.equals()}{name}[{w.key()}]")
        elif roll < 0.8:
            out.append(f"{w.name_for('item')}{w.equals()}{name}.get({w.key()})")
        else:
            out.append(f"print({name}[{w.key()}])")
    return out


def text_series(w: Writer) -> Lines:
    """A text made and then worked on."""
    name = w.name_for("text")
    start = f"{name}{w.equals()}{w.string(2, 7)}"
    return [start, *(text_work(w) for _ in range(w.between(1, 4)))]


def menu(w: Writer) -> Lines:
    """A list of strings and something printed of it."""
    name = w.name_for("list")
    values = ", ".join(w.string(1, 3) for _ in range(w.between(2, 6)))
    out = [f"{name}{w.equals()}[{values}]"]
    if w.chance(0.5):
        out.append(f"print({w.separator()}.join({name}))")
    else:
        out.append(f"{name}.append({w.string(1, 3)})")
    return out


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (4.0, conversation),
    (1.5, lookup),
    (1.5, text_series),
    (1.0, menu),
)

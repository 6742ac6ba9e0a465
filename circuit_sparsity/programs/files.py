"""Files opened to be read or written, with and without `with`."""

from typing import Literal

from circuit_sparsity.programs.blocks import body, function
from circuit_sparsity.programs.strings import call
from circuit_sparsity.programs.writer import Lines, Template, Writer, block

Mode = Literal["r", "w"]

_HANDLES = ("f", "f", "file", "fp", "fh", "stream", "infile", "source_file")


def _opening(w: Writer, mode: Mode, path: str) -> str:
    """A call of `open`; the mode is left out of some that read."""
    quote = w.quote()
    if mode == "r" and w.chance(0.2):
        return f"open({path})"
    extra = ", encoding='utf-8'" if w.chance(0.1) else ""
    return f"open({path}, {quote}{mode}{quote}{extra})"


def _work(w: Writer, mode: Mode, handle: str) -> Lines:
    if mode == "w":
        content = w.pick((w.string(), w.known("text", "item") or "text", f"str({w.some()})"))
        lines = [f"{handle}.write({content})"]
        if w.chance(0.3):
            lines = block(f"for {w.variable()} in {w.plural()}:", lines)
        return lines
    roll = w.random()
    if roll < 0.35:
        return [f"{w.name_for('text')}{w.equals()}{handle}.read()"]
    if roll < 0.55:
        return [f"{w.name_for('list')}{w.equals()}{handle}.readlines()"]
    if roll < 0.65:
        return [f"{w.name_for('dict')}{w.equals()}json.load({handle})"]
    line = w.pick(("line", "row", "line"))
    inside = [f"print({line})", f"{w.plural()}.append({line}.strip())"]
    return block(f"for {line} in {handle}:", [w.pick(inside)])


def _mode(w: Writer) -> Mode:
    return "r" if w.chance(0.5) else "w"


def managed(w: Writer) -> Lines:
    """`with open(...) as f:` and the work on the file."""
    mode = _mode(w)
    handle = w.pick(_HANDLES) if w.chance(0.8) else w.variable()
    head = f"with {_opening(w, mode, w.file_name(mode))} as {handle}:"
    inside = _work(w, mode, handle)
    return block(head, [*inside, *body(w, 0)] if w.chance(0.2) else inside)


def unmanaged(w: Writer) -> Lines:
    """`f = open(...)`, the work and a close."""
    mode = _mode(w)
    handle = w.pick(_HANDLES) if w.chance(0.7) else w.variable()
    first = f"{handle}{w.equals()}{_opening(w, mode, w.file_name(mode))}"
    return [first, *_work(w, mode, handle), f"{handle}.close()"]


def converted(w: Writer) -> Lines:
    """One file read and another written."""
    first, second = w.distinct(2, lambda: w.pick(_HANDLES))
    name = w.name_for("text")
    reading = f"with {_opening(w, 'r', w.file_name('r'))} as {first}:"
    writing = f"with {_opening(w, 'w', w.file_name('w'))} as {second}:"
    lines = block(reading, [f"{name} = {first}.read()"])
    return [*lines, *block(writing, [f"{second}.write({name})"])]


def in_function(w: Writer) -> Lines:
    """A function that loads or saves; the path is an argument or a literal."""
    mode = _mode(w)
    with w.scope():
        handle = w.pick(_HANDLES)
        path = w.pick(("path", "filename", "file_path")) if w.chance(0.4) else w.file_name(mode)
        given = path if path[0].isalpha() else ""
        if mode == "r":
            what = w.pick(("return f.read()", "return f.readlines()", "return json.load(f)"))
            inside = [what.replace("(f)", f"({handle})").replace("f.", f"{handle}.", 1)]
            name = w.pick((f"load_{w.noun()}", "load_file", f"read_{w.plural()}", "read_file"))
        else:
            content = w.plural()
            given = ", ".join(part for part in (given, content) if part)
            inside = [f"{handle}.write({content})"]
            name = w.pick((f"save_{w.noun()}", "save_file", f"write_{w.plural()}", "write_file"))
        lines = block(f"with {_opening(w, mode, path)} as {handle}:", inside)
    return function(w, name, given, lines)


def guarded(w: Writer) -> Lines:
    """A read that may fail."""
    handle = w.pick(_HANDLES)
    head = f"with {_opening(w, 'r', w.file_name('r'))} as {handle}:"
    inside = block(head, _work(w, "r", handle))
    return [*block("try:", inside), *block("except FileNotFoundError:", [call(w)])]


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (3.0, managed),
    (1.5, unmanaged),
    (0.6, converted),
    (1.0, in_function),
    (0.4, guarded),
)

"""Files opened in all kinds of statements: named by `with ... as` or kept by an assignment."""

from typing import Literal

from circuit_sparsity.programs.surroundings import lead, surrounded
from circuit_sparsity.programs.writer import Lines, Template, Writer, block

Mode = Literal["r", "w"]

_HANDLES = ("f", "f", "f", "file", "fp", "fh", "fobj", "stream")


def _mode(w: Writer) -> Mode:
    return "r" if w.chance(0.5) else "w"


def _quoted(w: Writer, text: str) -> str:
    quote = w.quote()
    return f"{quote}{text}{quote}"


def _path(w: Writer) -> str:
    """A path that is no literal with a telling stem."""
    x, y = w.distinct(2, w.noun)
    return w.pick(
        (
            x,
            x,
            x,
            f"{x}.{y}",
            f"self.{x}.{y}",
            f"{x}[{w.between(0, 3)}]",
            f"{x}[{w.key()}]",
            f"{w.function_name()}({x})",
            f"{w.function_name()}({x}, {y})",
            f"{x}.{w.function_name()}({y})",
            f"os.path.join({x}, {y}, {w.key()})",
            f"str({x})",
            f"{x} + {y}",
            f"{x} / {w.key()}",
        )
    )


def _call(w: Writer) -> str:
    """A call that opens something, by `open` in most cases."""
    roll = w.random()
    path, mode = _path(w), _quoted(w, _mode(w))
    if roll < 0.2:
        return f"open({path})"
    if roll < 0.55:
        return f"open({path}, {mode})"
    if roll < 0.7:
        return w.telling_open()
    if roll < 0.8:
        text = w.pick((w.file_name("r"), w.key(), f"f{_quoted(w, '{' + w.noun() + '}.txt')}"))
        return f"open({text})"
    x, y = w.distinct(2, w.noun)
    return w.pick(
        (
            f"{x}.{w.function_name()}({y})",
            f"{x}.open()",
            f"{x}.open({mode})",
            f"{x}.open({y}, {mode})",
            f"self.{x}.open({y})",
            f"{x}.{y}.open({mode})",
            f"Path({y}).open({mode})",
            f"gzip.open({y}, {mode})",
            f"{w.function_name()}({path})",
            f"{w.class_name()}({y}, {w.number()})",
            f"io.open({y}, {mode}, encoding={w.key()})",
        )
    )


def _target(w: Writer) -> str:
    roll = w.random()
    if roll < 0.35:
        return w.pick(_HANDLES)
    return w.noun() if roll < 0.85 else w.pick((f"self.{w.noun()}", f"{w.noun()}.{w.noun()}"))


def _work(w: Writer, handle: str) -> Lines:
    x = w.noun()
    return w.pick(
        (
            [f"{x} = {handle}.read()"],
            [f"{handle}.write({x})"],
            [f"return {handle}.read()"],
            [f"json.dump({x}, {handle})"],
            [f"{x} = json.load({handle})"],
            [f"for {x} in {handle}:", f"    print({x})"],
            [f"{w.function_name()}({handle})"],
            ["pass"],
        )
    )


def kept_or_named(w: Writer) -> Lines:
    """One to three openings, each by `with` or by an assignment."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        if w.chance(0.5):
            handle = w.pick(_HANDLES) if w.chance(0.75) else w.noun()
            out += block(f"with {_call(w)} as {handle}:", _work(w, handle))
        else:
            target = _target(w)
            out.append(f"{target} = {_call(w)}")
            if w.chance(0.4):
                out += _work(w, target)
        out += lead(w) if w.chance(0.3) else []
    return out


def telling(w: Writer) -> Lines:
    """Openings whose mode follows from what the file is called, in statements of all kinds."""
    out: Lines = []
    for _ in range(w.pick((1, 2, 2, 3))):
        text, other = w.telling_open(), w.telling_open()
        x, y = w.distinct(2, w.noun)
        handle = w.pick(_HANDLES)
        roll = w.random()
        if roll < 0.45:
            out += block(f"with {text} as {handle}:", _work(w, handle))
        elif roll < 0.6:
            out.append(f"{w.pick((handle, x))} = {text}")
        elif roll < 0.68:
            out += block(f"with {text} as {handle}, {other} as {x}:", _work(w, handle))
        else:
            out.append(
                w.pick(
                    (
                        f"{x}.{y} = {text}",
                        f"{x}, {y} = {text}, {other}",
                        f"{x}: object = {text}",
                        f"{x}[{w.number()}] = {text}",
                        f"{x} = {w.function_name()}({text})",
                        f"self.{x} = {w.function_name()}({text})",
                        f"{x} = {y} or {text}",
                        f"{x} = [{text}, {other}]",
                        f"{x} = {text} if {y} else None",
                        f"{x}.append({text})",
                        f"{w.function_name()}({text}, {y})",
                        f"json.dump({x}, {text})",
                        f"print({x}, file={text})",
                        f"return {w.function_name()}({text})",
                        f"for {x} in {text}:\n    {y}.append({x})",
                        f"{x} = {text}.{w.pick(('read', 'readlines', 'fileno'))}()",
                        f"{x} = {w.noun()}.{text}",
                        f"{x} = {{{w.key()}: {text}}}",
                        f"{x} = lambda: {text}",
                        f"yield {x}, {text}",
                    )
                )
            )
    return "\n".join(out).split("\n")


TEMPLATES: tuple[tuple[float, Template], ...] = (
    (0.7, kept_or_named),
    (2.0, surrounded(kept_or_named)),
    (1.2, telling),
    (2.4, surrounded(telling)),
)

"""What training text must not hold: the structures of the prompts that models are tested on."""

import io
import random
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from keyword import iskeyword

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.template import WORDS

_KEPT = frozenset(("self", "super", "print", "len", "range", "enumerate", "open", "set"))
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)


Structure = str | tuple[str, int, str]  # a line's beginning, or a line, a step and a beginning


@dataclass(frozen=True)
class Line:
    """A logical line: how deep it is indented, and its shape."""

    depth: int
    shape: str


@dataclass(frozen=True)
class Shapes:
    """Shapes that a text must not hold.

    `lines` are beginnings of a line; `pairs` are a line, the change of depth after it, and the
    beginning of the next.
    """

    lines: frozenset[str]
    pairs: frozenset[tuple[str, int, str]]

    def found_in(self, text: str) -> str | None:
        """The first of these shapes that `text` has, None when it has none.

        Raises ValueError when `text` is no Python.
        """
        return next((words for _, words in self.matches(lines_of(text))), None)

    def matches(self, lines: Iterable[Line]) -> Iterator[tuple[Structure, str]]:
        """Each place that has one of these shapes: which it is, and the lines there."""
        before = Line(0, "")
        for line in lines:
            step = line.depth - before.depth
            for start in _starts(line.shape, self._lengths):
                if start in self.lines:
                    yield start, line.shape
                pair = (before.shape, step, start)
                if pair in self.pairs:
                    yield pair, f"{before.shape} / {line.shape}"
            before = line

    @cached_property
    def _lengths(self) -> frozenset[int]:
        shapes = [*self.lines, *(last for _, _, last in self.pairs)]
        return frozenset(len(shape) for shape in shapes)


def lines_of(text: str) -> tuple[Line, ...]:
    """The logical lines of a program.

    Raises ValueError when `text` cannot be split into Python's tokens.

    >>> [line.shape for line in lines_of("rows = [[1, 2], [3]]\\nprint('hi')\\n")]
    ['N = [ [ 0 ] ]', 'print ( S )']
    """
    return tuple(Line(depth, _shape(kinds)) for depth, kinds in _logical_lines(text, len(text)))


def beginning(program: str, length: int) -> tuple[Line, Line]:
    """The line in which the first `length` characters of `program` end, and the one before it.

    The last line's shape has the tokens that begin within these characters, but for a comma at
    its end. Where there is no line before, its shape is empty.
    """
    lines = [Line(depth, _shape(kinds)) for depth, kinds in _logical_lines(program, length)]
    last = Line(lines[-1].depth, lines[-1].shape.removesuffix(" ,"))
    return (lines[-2] if len(lines) > 1 else Line(0, "")), last


def shapes(examples: Iterable[tuple[str, int, int]]) -> Shapes:
    """The shapes at the cut of programs, each given with its cut and how many lines count."""
    lines: set[str] = set()
    pairs: set[tuple[str, int, str]] = set()
    for program, cut, n_lines in examples:
        before, last = beginning(program, cut)
        if n_lines == 1:
            lines.add(last.shape)
        else:
            pairs.add((before.shape, last.depth - before.depth, last.shape))
    return Shapes(frozenset(lines), frozenset(pairs))


def _logical_lines(text: str, length: int) -> list[tuple[int, list[str]]]:
    """Depth and kinds of tokens of each logical line, up to `length` characters."""
    offsets = _line_offsets(text)
    depth = 0
    out: list[tuple[int, list[str]]] = []
    kinds: list[str] = []
    try:
        for token in _tokens(text):
            if token.type == tokenize.INDENT:
                depth += 1
            elif token.type == tokenize.DEDENT:
                depth -= 1
            elif offsets[token.start[0] - 1] + token.start[1] >= length:
                break
            elif token.type == tokenize.NEWLINE:
                out.append((depth, kinds))
                kinds = []
            elif token.type not in _LAYOUT:
                kinds.append(_kind(token))
    except (tokenize.TokenError, IndentationError) as error:
        raise ValueError(f"The text is no Python program: {error}.") from error
    return [*out, (depth, kinds)] if kinds else out


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    """Python's tokens, with an f-string as one string, which it is up to Python 3.11 only."""
    nested = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_START":
            nested += 1
            if nested == 1:
                yield token._replace(type=tokenize.STRING)
        elif name == "FSTRING_END":
            nested -= 1
        elif not nested:
            yield token


def _line_offsets(text: str) -> list[int]:
    offsets = [0]
    for line in text.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    return [*offsets, len(text)]


def _kind(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME:
        return token.string if iskeyword(token.string) or token.string in _KEPT else "N"
    if token.type == tokenize.NUMBER:
        return "0"
    if token.type == tokenize.STRING:
        return "S"
    return token.string


def _shape(kinds: list[str]) -> str:
    out: list[str] = []
    is_list: list[bool] = []
    for kind in kinds:
        if kind in ("[", "(", "{"):
            is_list.append(kind == "[" and (not out or out[-1] not in ("N", ")", "]", "self")))
        elif kind in ("]", ")", "}") and is_list:
            is_list.pop()
        out.append("0" if kind == "N" and is_list and is_list[-1] else kind)
        _shrink(out)
    return " ".join(out)


def _shrink(out: list[str]) -> None:
    """Take repetition off the end: `0 , 0`, `S , S`, a third name, a second row of a list."""
    if out[-3:] in (["0", ",", "0"], ["S", ",", "S"]) or out[-5:] == ["N", ",", "N", ",", "N"]:
        del out[-2:]
    elif out[-7:] == ["[", "0", "]", ",", "[", "0", "]"]:
        del out[-4:]


def _starts(shape: str, lengths: frozenset[int]) -> set[str]:
    """The beginnings of `shape` of the given lengths that end where a token ends."""
    ends = (n for n in lengths if n == len(shape) or shape[n : n + 1] == " ")
    return {shape[:n] for n in ends}


# Every example of a template has the same shape; the second guards against an odd first one.
_EXAMPLES = 2


@cache
def novel_shapes(tasks: tuple[str, ...] = tuple(TASKS)) -> Shapes:
    """The shapes of all novel templates of tasks; `.found_in(program)` tells of one."""
    return shapes(_cut_programs(tasks))


def _cut_programs(tasks: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """Programs from every novel template with the place after their answer, and `novel`."""
    rng = random.Random(0)
    for task in map(TASKS.__getitem__, tasks):
        for template in task.templates:
            for _ in range(_EXAMPLES if template.novel else 0):
                example = task.example(template, WORDS[template.split], rng)
                prompts = (example.pair.positive, example.pair.negative)
                for program, prompt in zip(example.programs, prompts, strict=True):
                    yield program, len(prompt.text + prompt.right), template.novel

"""What the real source that models are trained on holds of what their test prompts are made of.

Generated training programs hold no test name, word or structure; the standard library was written
by others, and holds some. A name counts where it is an identifier, a part of one between
underscores or capitals, or a word of a string or a comment.
"""

import re
from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.novel import Line, Structure, lines_of, novel_shapes
from circuit_sparsity.tasks.words import TEST_NAMES, TEST_VERBS, TEST_WORDS
from circuit_sparsity.training.corpus import real_documents
from circuit_sparsity.training.settings import CorpusSettings

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True)
class Overlap:
    """How many of ``of`` occur in the training files of the running Python's library."""

    what: str
    occur: int
    of: int
    files: int  # how many training files hold any of them

    @property
    def share(self) -> float:
        return self.occur / self.of


def words_in(text: str) -> set[str]:
    """Its words in lower case, identifiers taken apart.

    >>> sorted(words_in("def openQuest(self, old_quest): # Start"))
    ['def', 'old', 'open', 'quest', 'self', 'start']
    """
    return {word.lower() for word in _WORD.findall(text)}


def training_files(settings: CorpusSettings | None = None) -> tuple[str, ...]:
    """The real source that a model of such settings is trained on, file by file."""
    return tuple(real_documents(settings or CorpusSettings(), held_out=False))


def of_words(files: Iterable[str]) -> tuple[Overlap, ...]:
    """Test names, words and verbs among the files."""
    each = [words_in(text) for text in files]
    lists = {"names": TEST_NAMES, "words": TEST_WORDS, "verbs": TEST_VERBS}
    return tuple(_overlap(what, words, each) for what, words in lists.items())


def of_structures(files: Iterable[str]) -> tuple[Overlap, ...]:
    """The structures of each task's novel prompts among the files, task by task.

    A structure is what stands at the question: the beginning of a line, or a line and the
    beginning of the next. A file that is no Python for the running version holds none.
    """
    parsed = [tuple(_lines(text)) for text in files]
    found: list[Overlap] = []
    for name in TASKS:
        novel = novel_shapes((name,))
        each = [{structure for structure, _ in novel.matches(lines)} for lines in parsed]
        found.append(_overlap(name, (*novel.lines, *novel.pairs), each))
    return tuple(found)


def _overlap(what: str, wanted: Collection[Structure], each: Sequence[Set[Structure]]) -> Overlap:
    known = [words & set(wanted) for words in each]
    every = set[Structure]().union(*known)
    return Overlap(what, len(every), len(wanted), sum(map(bool, known)))


def _lines(text: str) -> tuple[Line, ...]:
    try:
        return lines_of(text)
    except ValueError:
        return ()

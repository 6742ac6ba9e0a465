"""A circuit as one Python file with numpy alone: token ids in, the logits of the answers out."""

import base64
import inspect
import io
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuit_sparsity.export import runner
from circuit_sparsity.export.arrays import Arrays, Counts, fold, kept_channels, settings_of
from circuit_sparsity.export.investigation import Investigation
from circuit_sparsity.runtime.ablation import answer_logits

_LINE = 120  # letters of base64: editors choke on longer lines


@dataclass(frozen=True)
class Written:
    """The program's text, and how many numbers it holds for what."""

    text: str
    counts: Counts

    @property
    def size(self) -> int:
        """In bytes, as a file."""
        return len(self.text.encode())

    @property
    def in_words(self) -> str:
        return size_in_words(self.size, self.counts)


def program(found: Investigation) -> Written:
    """The circuit of ``found`` as a program.

    Its logits equal those of the masked model to 1e-4, but for prompts on which two channels that
    compete in an activation top-k are so close that rounding decides between them.
    """
    experiment = found.experiment
    arrays, counts = fold(experiment.circuit, experiment.model, experiment.means, found.answers)
    data = textwrap.fill(_packed(arrays), _LINE)
    nodes = {
        str(place): kept_channels(experiment.circuit, place) for place in experiment.circuit.nodes
    }
    answers = [(token, found.text_of([token])) for token in found.answers]
    literals = [
        "# The circuit: the channels that run at each place.",
        _mapping("NODES", nodes),
        *([_mapping("LABELS", found.labels)] if found.labels else []),
        "# The tokens that it chooses between.",
        f"ANSWERS = {answers!r}",
        "# Prompts as token ids, and the answers' logits that the explorer computed for them.",
        _examples(found),
        _mapping("SETTINGS", settings_of(experiment.model.config)),
    ]
    code = inspect.getsource(runner).split('"""', 2)[2].strip()
    imports, body = code.split("\n\n\n", 1)
    end = (
        f'# An .npz archive of float32 numbers, in base64.\nDATA = """\n{data}\n"""\n\n'
        'if __name__ == "__main__":\n'
        "    sys.exit(main(Program(SETTINGS, NODES, DATA), ANSWERS, EXAMPLES, sys.argv[1:]))\n"
    )
    parts = [_head(found, counts, len(data)), imports, "\n".join(literals) + "\n", body, end]
    return Written("\n\n".join(parts), counts)


def size_in_words(written_bytes: int, counts: Counts) -> str:
    """How large a program is, and what for."""
    thresholds = (
        f"{counts.thresholds:,} weights of channels outside the circuit, which compete with the "
        "kept ones in an activation top-k; "
        if counts.thresholds
        else ""
    )
    return (
        f"{written_bytes / 1000:,.0f} kB, {counts.all:,} numbers that are not zero: "
        f"{counts.own:,} weights, means and norms of the circuit; {thresholds}"
        f"{counts.vocabulary:,} of the embedding and positions, because each norm looks at every "
        "residual channel"
    )


def _head(found: Investigation, counts: Counts, size: int) -> str:
    experiment = found.experiment
    sentences = (
        f"The circuit {experiment.circuit.title} as a program: {experiment.circuit.size} nodes, "
        f"{len(experiment.edges)} edges. It needs Python 3.11 or newer and numpy, nothing else.",
        "Give it token ids as arguments and it prints the logit of each answer after the last of "
        "them. Without arguments it runs the examples below and says how far it is from what the "
        "explorer computed.",
        "What is not kept is held at its mean over pretraining text, channel by channel, after "
        "that place's activation top-k. Norms are computed from what is there.",
        f"Task loss on {experiment.batch_name}: {experiment.of_circuit.loss:.4f} nats per "
        f"sequence, of the whole model {experiment.of_model.loss:.4f}; 0.6931 is chance.",
        f"Data inside: {size_in_words(size, counts)}.",
    )
    lines = [line for one in sentences for line in (*textwrap.wrap(_plain(one), 96), "")]
    return "\n".join(f"# {line}".rstrip() for line in lines[:-1])


def _packed(arrays: Arrays) -> str:
    """The arrays as an .npz archive in base64; of the embedding, only what is not zero."""
    table = arrays["embedding"]
    where = np.packbits(table != 0, axis=1)
    packed: Any = arrays | {"embedding": table[table != 0], "embedding.where": where}
    stored = io.BytesIO()
    np.savez_compressed(stored, **packed)
    return base64.b64encode(stored.getvalue()).decode()


def _examples(found: Investigation) -> str:
    """The first pair of prompts, with the logits of the masked model."""
    experiment = found.experiment
    chosen = experiment.batch.select([0])
    masked = answer_logits(
        experiment.model, chosen.tokens, chosen.last, alive=experiment.alive, means=experiment.means
    )
    rows = zip(
        chosen.tokens.tolist(),
        chosen.last.tolist(),
        masked[:, list(found.answers)].tolist(),
        strict=True,
    )
    lines = []
    for tokens, last, logits in rows:
        prompt = tokens[: last + 1]
        lines.append(f"    # {found.text_of(prompt)!r}")
        lines.append(f"    ({prompt}, {[round(x, 6) for x in logits]}),")
    return "\n".join(["EXAMPLES = [", *lines, "]"])


def _mapping(name: str, values: Mapping[str, object]) -> str:
    return "\n".join([f"{name} = {{", *(f"    {k!r}: {v!r}," for k, v in values.items()), "}"])


def _plain(text: str) -> str:
    """On one line, with what cannot be seen as an escape: safe in a comment."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)

"""A text continued token by token, each time with the likeliest one."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.nodes.reading import Reader


@dataclass(frozen=True)
class Continuation:
    """Tokens after a text, with the probability that each had."""

    tokens: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()


def continued(
    reader: Reader,
    tokens: Sequence[int],
    most: int,
    progress: Callable[[Continuation], object] = lambda so_far: None,
    cancel: threading.Event | None = None,
) -> Continuation:
    """At most ``most`` tokens after ``tokens``, fewer where the model's context ends.

    ``progress`` is told after each. Raises Cancelled when ``cancel`` is set meanwhile.
    """
    found = Continuation()
    while len(found.tokens) < most:
        text = (*tokens, *found.tokens)
        if len(text) > reader.model.config.block_size:
            break
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {len(found.tokens)} of {most} tokens")
        chances = reader.next(text).softmax(-1)
        best = int(chances.argmax())
        found = Continuation((*found.tokens, best), (*found.probabilities, float(chances[best])))
        progress(found)
    return found

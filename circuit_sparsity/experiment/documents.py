"""For each node, the documents around the tokens at stated quantiles of its activation.

How the release's files choose them, read off a file whose model is at hand (the project's test
of this states it): the windows of text are laid end to end and every token is ranked by the
node's activation on it in the whole model. Of N tokens, ``bottom`` at quantile q are those of
rank int(q·N) and the next few in ascending order; ``top`` the same in descending order. A window
may occur more than once, with another position.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.release.values import QUANTILES, Doc, Extremes
from circuit_sparsity.runtime.activations import node_activations

DOCS_A_SIDE = 3  # as many as the release's files hold
WINDOWS_A_BATCH = 16


def documents(
    model: GPT,
    nodes: Iterable[Node],
    windows: Int[Tensor, "window pos"],
    quantiles: Iterable[float] = QUANTILES,
    docs: int = DOCS_A_SIDE,
    step: Callable[[], None] = lambda: None,
) -> dict[Node, dict[float, Extremes]]:
    """Documents by node and quantile, from ``windows`` of text that the model was not fitted to.

    ``step`` is called before each batch of windows; what it raises ends the work. Raises
    ValueError when there are too few tokens for the quantiles.
    """
    nodes, quantiles = tuple(nodes), tuple(quantiles)
    needed = max((int(q * windows.numel()) for q in quantiles), default=0) + docs
    if windows.numel() < needed:
        raise ValueError(
            f"{windows.numel()} tokens of text are too few: {needed} are needed for {docs} "
            f"documents at quantile {max(quantiles)}; give more windows"
        )
    activations = _over_windows(model, nodes, windows, step)
    return {
        node: {q: at_quantile(windows, activations[node], q, docs) for q in quantiles}
        for node in nodes
    }


def _over_windows(
    model: GPT,
    nodes: tuple[Node, ...],
    windows: Int[Tensor, "window pos"],
    step: Callable[[], None],
) -> dict[Node, Float[Tensor, "window pos"]]:
    """Activations as float16, the type they are stored in: what is ranked is what is shown."""
    found = {node: torch.empty(windows.shape, dtype=torch.float16) for node in nodes}
    for start in range(0, len(windows), WINDOWS_A_BATCH):
        step()
        batch = windows[start : start + WINDOWS_A_BATCH].long().to(model.device)
        for node, values in node_activations(model, nodes, batch).items():
            found[node][start : start + WINDOWS_A_BATCH] = values
    return found


def at_quantile(
    windows: Int[Tensor, "window pos"],
    activations: Float[Tensor, "window pos"],
    quantile: float,
    docs: int,
) -> Extremes:
    """The documents of one node at one quantile, from below and from above."""
    ranked = activations.flatten().argsort(stable=True)
    first = int(quantile * len(ranked))
    width = windows.shape[1]

    def around(token: int) -> Doc:
        window, position = divmod(token, width)
        return Doc(windows[window].long(), activations[window].float(), position)

    bottom = ranked[first : first + docs].tolist()
    top = ranked.flip(0)[first : first + docs].tolist()
    return Extremes(tuple(map(around, bottom)), tuple(map(around, top)))

"""A node's card in words. Every number in them is one of the card's; none is escaped."""

from collections.abc import Callable, Sequence

from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.core.names import FINAL_RESID, Node
from circuit_sparsity.nodes.card import NodeCard, NodeNeighbours
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed

Name = Callable[[Node], str]  # how a node is called: its name, and a reader's label
_FIRST_FEW = 4


def fires_on(card: NodeCard, token_bytes: Callable[[int], bytes]) -> str:
    """On which tokens, how strongly, and how often not at all."""
    if card.share_of_zeros == 1.0:
        return f"Nothing: it is exactly zero on every one of {card.measured_on}."
    tokens = [
        f"“{show_token(token_bytes(one.token))}” {signed(one.mean)} ({one.count:,}×)"
        for one in card.tokens
    ]
    strongest = (
        f"{', '.join(tokens)}: its mean on the tokens furthest from its overall mean of "
        f"{signed(card.mean)}, and how often they occur."
        if tokens
        else f"Its mean is {signed(card.mean)}; no token occurs often enough to say more."
    )
    share = f"Exactly zero on {card.share_of_zeros:.1%}"
    return f"{strongest} {share} of {card.measured_on}."


def reads_from(card: NodeCard, name: Name = str) -> str:
    """Which nodes feed it, in the circuit and in the whole model."""
    if not card.reads.every:
        return "The embeddings alone: no block comes before it, or none writes there."
    if card.node.location.reads_residual:
        return _by_stream(card.reads, name, "write this channel before it", "the embedding")
    return _by_weight(card.reads, name, "Only its bias and means: the circuit keeps none")


def writes_to(card: NodeCard, name: Name = str) -> str:
    """Which nodes it feeds, in the circuit and in the whole model."""
    if card.node.location == FINAL_RESID:
        return "The unembedding, which turns it into logits."
    if card.node.location.writes_residual:
        return _by_stream(card.writes, name, "read this channel after it", "nothing")
    return _by_weight(card.writes, name, "Nothing that the circuit keeps")


def costs(card: NodeCard, rank: tuple[int, int] | None = None) -> str:
    """What the task loses without it; ``rank`` is its place among how many kept nodes."""
    before, after = card.cost.before.loss, card.cost.after.loss
    change = f"{signed(card.cost.delta, 4)} nats a sequence, {before:.4f} to {after:.4f}"
    on = f"Live, on {card.prompts}; baseline: the circuit, unchanged."
    if not card.is_kept:
        return f"The circuit does not keep it. With it added: {change}. {on}"
    place = f" Number {rank[0]} of {rank[1]} kept nodes by cost." if rank else ""
    return f"Ablated alone: {change}.{place} {on}"


def _by_weight(side: NodeNeighbours, name: Name, nobody: str) -> str:
    kept = [near for near in side.kept if near.weight is not None]
    every = sum(near.weight is not None for near in side.every)
    links = [near for near in side.kept if near.weight is None]
    head = _listed([f"{name(n.node)} {signed(n.weight or 0.0)}" for n in kept], len(kept))
    through = f" Through attention: {_listed([name(n.node) for n in links], len(links))}."
    if not kept and not every:
        return through.strip() if links else f"{nobody}."
    count = f" ({len(kept)} of the {every:,} nonzero weights that the whole model has there)"
    return f"{head or nobody}{count}.{through if links else ''}"


def _by_stream(side: NodeNeighbours, name: Name, what: str, else_: str) -> str:
    names = [name(near.node) for near in side.kept]
    if not names:
        return f"By the circuit {else_}: none of its nodes {what}, of {len(side.every)} that could."
    some = _listed(names, len(names))
    return f"{some}, through the residual stream: kept, of {len(side.every)} that could {what}."


def _listed(names: Sequence[str], of: int) -> str:
    more = f" and {of - _FIRST_FEW} more" if of > _FIRST_FEW else ""
    return f"{', '.join(names[:_FIRST_FEW])}{more}"


def call(near: Neighbour, name: Name = str) -> str:
    """A neighbour and by what it is joined."""
    by = f"by {near.by}" if near.weight is None else signed(near.weight)
    return f"{name(near.node)} {by}"

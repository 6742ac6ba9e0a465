"""The claims as rows of words: what is claimed, the paper's number, ours, on what, and how."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from circuit_sparsity.evidence.claims import values as paper
from circuit_sparsity.evidence.claims.summary import (
    Comparison,
    attribution_against_learned,
    dense_against_sparse,
    frontier,
    necessities,
)
from circuit_sparsity.evidence.claims.values import MAIN, Claims

HEAD = ("claim", "paper", "here", "on what")


@dataclass(frozen=True)
class Said:
    """One row."""

    claim: str
    paper: str
    here: str
    on: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        return self.claim, self.paper, self.here, self.on


def command(claims: Claims) -> str:
    """What measures all of this again."""
    dense = f" --dense {claims.dense}" if claims.dense else ""
    return f"python -m circuit_sparsity claims --model {claims.sparse}{dense}"


def rows(claims: Claims) -> tuple[Said, ...]:
    """Every claim; one that nothing here can speak to says so."""
    return (
        *_dense(claims),
        *_frontier(claims),
        *_attribution(claims),
        *_necessity(claims),
        *_edits(claims),
        *_hybrids(claims),
    )


def _dense(claims: Claims) -> Iterator[Said]:
    what = "Fig. 2: dense over sparse edges"
    found = dense_against_sparse(claims)
    for one in found:
        yield Said(f"{what} at {one.target} nats", _told(one), _measured(one), _seeds(one))
    for one in dense_against_sparse(claims, "learned masks, refined"):
        claim = f"{what} at {one.target} nats, refined node by node"
        yield Said(claim, _told(one), _measured(one), _seeds(one))
    if not found:
        dense, sparse = paper.EDGES[MAIN]
        told = f"{paper.ratio(MAIN):.0f}x ({dense:,} / {sparse:,})"
        yield Said(f"{what} at {MAIN} nats", told, "not measured", "no task with both models")


def _told(one: Comparison) -> str:
    if one.paper is None:
        return "not reported"
    known = paper.EDGES.get(one.target)
    return f"{one.paper:.0f}x" + (f" ({known[0]:,} / {known[1]:,})" if known else "")


def _measured(one: Comparison) -> str:
    ratios = one.ratios
    spread = f", {min(ratios):.1f} to {max(ratios):.1f}" if len(ratios) > 1 else ""
    larger, smaller = fmean(one.larger.values()), fmean(one.smaller.values())
    return f"{fmean(ratios):.1f}x{spread} ({larger:,.0f} / {smaller:,.0f})"


def _seeds(one: Comparison) -> str:
    seeds = sorted(set(one.larger) | set(one.smaller))
    return f"{_count(len(one.tasks), 'task')}, {_count(len(seeds), 'seed')}"


def _count(n: int, what: str) -> str:
    """
    >>> _count(1, "seed"), _count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{n} {what}" + ("" if n == 1 else "s")


def _frontier(claims: Claims) -> Iterator[Said]:
    what = "Fig. 3: held-out loss and edges at 0.15"
    told = "1.326 nats, 1,384 edges (1x, 0.9 M) to 0.942, 1,082 (16x, 7.4 M)"
    points = frontier(claims)
    for one in points:
        size = "" if one.nonzero is None else f"{one.nonzero / 1e6:.2f} M nonzero, "
        here = f"{one.loss:.3f} nats, {one.edges:,.0f} edges"
        yield Said(f"{what}: {one.name}", told, here, f"{size}{_count(one.tasks, 'task')}")
    if not points:
        yield Said(what, told, "not measured", "no model with a card and a ranking")


def _attribution(claims: Claims) -> Iterator[Said]:
    what = "Fig. 31: attribution over learned masks, edges"
    found = attribution_against_learned(claims)
    for one in found:
        told = f"{one.paper:.0f}x (97k / 0.3k)" if one.paper else "hundreds"
        yield Said(f"{what} at {one.target} nats", told, _measured(one), _seeds(one))
    if not found:
        yield Said(what, "323x (97k / 0.3k) at 0.15", "not measured", "no ranking to compare with")


def _necessity(claims: Claims) -> Iterator[Said]:
    what = "Fig. 32: loss without the circuit, and without random nodes"
    low, high = paper.NECESSITY
    told = f"{low} to {high} nats; random 1e-7 to 1e-6"
    found = necessities(claims)
    for one in found:
        here = (
            f"{one.lowest:.2f} to {one.highest:.2f} nats; random {one.random:.3f}, at most "
            f"{one.worst:.3f}"
        )
        yield Said(f"{what}: {one.model}", told, here, _count(one.circuits, "circuit"))
    if not found:
        yield Said(what, told, "not measured", "no evidence of a circuit at 0.15")


def _edits(claims: Claims) -> Iterator[Said]:
    what = "Fig. 9: an edit of a sparse model's read moves the dense model"
    told = (
        f"even odds at strength {paper.EVEN}, all the way from {paper.WHOLE}; random directions "
        "stay flat"
    )
    for one in claims.edits:
        here = (
            f"p(right) {one.of_dense[0]:.2f} to {one.of_dense[-1]:.2f} at strength "
            f"{one.strengths[-1]:g}; random channels {one.random_channels[-1]:.2f}, directions "
            f"{one.random_directions[-1]:.2f}"
        )
        yield Said(f"{what}: {one.task}", told, here, f"{one.node}, {one.prompts} prompts")
    if not claims.edits:
        yield Said(what, told, "not measured", "no bridges with a circuit of their sparse model")


def _hybrids(claims: Claims) -> Iterator[Said]:
    what = "Hybrids that switch models once: worst site, above the model they end in"
    for one in claims.hybrids:
        here = (
            f"{one.into_sparse:.2f} nats per token into the sparse, {one.into_dense:.2f} into the "
            f"dense; ridge regression {one.ridge_into_sparse:.2f} and {one.ridge_into_dense:.2f}"
        )
        on = f"{one.sparse} and {one.dense}, {one.tokens:,} held-out tokens"
        yield Said(what, "not reported", here, on)
    if not claims.hybrids:
        yield Said(what, "not reported", "not measured", "no bridges with a card")


def caution(claims: Claims) -> Sequence[str]:
    """What stands between our numbers and the paper's."""
    return (
        "Models, text, tokenizer and prompts here are this project's own and far smaller than the "
        "paper's, so only ratios can be compared, not numbers of edges.",
        "Circuits at a target are cut from one ranking a seed and task, without removing single "
        "nodes unless a row says refined; the paper keeps the best of 256 to 768 searches.",
        "A task that either model cannot bring below the target is left out for both.",
        "Of other models than the two, and of other seeds than one a task, few circuits ship: they "
        "are large. `python -m circuit_sparsity prune MODEL TASK --target 0.15 --preset masks "
        "--sweep masks --seed N` makes one, and the command counts what is here.",
    )

"""What each measure means, as data: the page, the README and the command line tell the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NATS = "nats per sequence"
SHARE = "share, 0 to 1"
RATIO = "ratio"


@dataclass(frozen=True)
class Definition:
    """One measure: ``key`` is its field of ``Evidence``."""

    key: str
    name: str
    sentence: str
    unit: str
    anchor: str  # what to hold the number against


_ALL = (
    Definition(
        "sufficiency",
        "Sufficiency",
        "Task loss of the circuit alone, everything else held at its mean.",
        NATS,
        "the model's own loss; chance is 0.693",
    ),
    Definition(
        "necessity",
        "Necessity",
        "Task loss of the model with only the circuit's nodes held at their means.",
        NATS,
        "the model's own loss; chance is 0.693, and as many random nodes do next to nothing",
    ),
    Definition(
        "faithfulness",
        "Faithfulness",
        "How far the circuit's loss gets from that of the empty circuit to that of the model.",
        RATIO,
        "0 is the empty circuit, 1 the model; more than 1 is a circuit better than its model",
    ),
    Definition(
        "completeness",
        "Completeness",
        "The same ratio for the model without the circuit: what the rest can do on its own.",
        RATIO,
        "0 or less: the circuit holds all there is; 1: the model does not need it",
    ),
    Definition(
        "kl",
        "KL divergence",
        "Kullback-Leibler divergence of the circuit's next-token distribution from the model's, "
        "over the whole vocabulary at the answer.",
        "nats per prompt",
        "0 is the same distribution",
    ),
    Definition(
        "exact_match",
        "Exact match, two answers",
        "Share of prompts on which circuit and model prefer the same of the two answers.",
        SHARE,
        "1 is every prompt; a coin has 0.5",
    ),
    Definition(
        "exact_match_full",
        "Exact match, all tokens",
        "Share of prompts on which circuit and model rank the same token of all first.",
        SHARE,
        "1 is every prompt",
    ),
    Definition(
        "cpr",
        "CPR",
        "Mean faithfulness over the published kept fractions of the nodes (0.001 to 1), by area.",
        RATIO,
        "1 is a ranking whose circuits are all as good as the model",
    ),
    Definition(
        "cmd",
        "CMD",
        "Mean distance of faithfulness from 1 over the same fractions, by area.",
        RATIO,
        "0 is a ranking whose circuits all do what the model does",
    ),
    Definition(
        "cpr_log",
        "CPR, log grid",
        "CPR over numbers of nodes evenly spaced in their logarithm: mostly small circuits.",
        RATIO,
        "1 is a ranking whose circuits are all as good as the model",
    ),
    Definition(
        "cmd_log",
        "CMD, log grid",
        "CMD over numbers of nodes evenly spaced in their logarithm.",
        RATIO,
        "0 is a ranking whose circuits all do what the model does",
    ),
    Definition(
        "minimality",
        "Minimality",
        "Rise in the circuit's loss when one kept node alone is held at its mean, for each node.",
        NATS,
        "a node at 0 or less is not needed here",
    ),
    Definition(
        "edges_needed",
        "Needed edges",
        "Edges left when every edge that the target does not need is ablated, all of them "
        "together, the source at its mean; and the circuit's loss then.",
        "edges",
        "all edges between the kept nodes; the loss with all of them in place is the sufficiency",
    ),
    Definition(
        "relative_sparsity",
        "Relative sparsity",
        "Nodes kept over the nodes that a mask can learn about: those that something varying "
        "reaches and that lead to the answers.",
        SHARE,
        "1 keeps all of them",
    ),
    Definition(
        "full_sparsity",
        "Full sparsity",
        "Nodes kept over all nodes of the model.",
        SHARE,
        "1 is the whole model",
    ),
    Definition(
        "controls",
        "Controls",
        "The loss of circuits of the same size that should mean nothing: random nodes, nodes found "
        "for shuffled answers, nodes found in an untrained model.",
        NATS,
        "the circuit's own loss: a control as low as it says that the loss proves nothing",
    ),
    Definition(
        "stability",
        "Stability",
        "Jaccard overlap of the node sets that pruning finds from other seeds and prompts.",
        SHARE,
        "1 is the same nodes each time",
    ),
)
DEFINITIONS: Mapping[str, Definition] = MappingProxyType({one.key: one for one in _ALL})
_FURTHER = (
    Definition(
        "anchors",
        "Against a guess",
        "Faithfulness and completeness with the best constant guess in place of the empty "
        "circuit, which is often far worse; the circuit's mean margin over the model's; and how "
        "the two margins correlate over the prompts of each class.",
        RATIO,
        "0 is that guess, 1 the model; a correlation near 0 is a circuit that does not follow its "
        "model from prompt to prompt",
    ),
    Definition(
        "intervals",
        "Intervals",
        "95% bootstrap interval of a measure over pairs of prompts, 1000 resamples.",
        "as the measure",
        "an interval that holds the anchor says nothing for sure",
    ),
    Definition(
        "shortcuts",
        "Shortcuts",
        "What small classifiers get on the task's test prompts from the last token, the last two, "
        "the length and the bag of tokens, fitted on its pruning prompts.",
        SHARE,
        "a coin has 0.5; the model's own accuracy",
    ),
    Definition(
        "rest",
        "Part of the rest",
        "Loss with the circuit kept and a random share of everything outside ablated: mean, "
        "ninetieth percentile and worst of 16 draws for each of five shares.",
        NATS,
        "the circuit's own loss: twice that is red; as many random nodes kept in its place",
    ),
    Definition(
        "resampled",
        "Resample ablation",
        "The circuit's loss with everything outside at what it is on other prompts, on the pair's "
        "other prompt, or on held-out text.",
        NATS,
        "the loss with the rest at its mean, and at zero",
    ),
    Definition(
        "adversary",
        "Adversary",
        "Loss of the model without the 1, 2, 4 to 64 nodes outside whose ablation hurts most, the "
        "circuit kept; found greedily by gradient.",
        NATS,
        "the same against as many random kept nodes; without a budget everything breaks",
    ),
    Definition(
        "reasons",
        "Same reasons",
        "Total variation between where the kept heads look in the circuit and in the model, and "
        "the cosine of what kept writes add, both where the answer is read.",
        RATIO,
        "variation 0 and cosine 1 are the same; a head at 0.5 or more looks at something else",
    ),
    Definition(
        "specific",
        "Specific",
        "How far the loss of other tasks that the model solves rises without this circuit.",
        NATS,
        "the rise on its own task: where another one's is larger, it is red",
    ),
)
FURTHER: Mapping[str, Definition] = MappingProxyType({one.key: one for one in _FURTHER})

"""Measure a circuit: everything that takes no further pruning."""

import dataclasses
import threading
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit, from_masks, total_nodes
from circuit_sparsity.circuits.found import Found
from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Location, circuit_locations
from circuit_sparsity.evidence.anchors import Anchors, Answers, anchors, intervals, loss_of
from circuit_sparsity.evidence.curves import areas, curve, fraction_sizes
from circuit_sparsity.evidence.evidence import Control, CurvePoint, Evidence
from circuit_sparsity.experiment.experiment import Cancelled, Experiment, Progress, faithfulness
from circuit_sparsity.pruning.dangling import Liveness
from circuit_sparsity.pruning.size import log_grid
from circuit_sparsity.runtime.compiled import compile_circuit


def random_nodes(
    config: GPTConfig,
    like: Circuit,
    seed: int,
    per_location: bool = False,
    outside: bool = False,
) -> Circuit:
    """A circuit of as many nodes as ``like``, drawn from all nodes of the model.

    With ``per_location`` each location has as many as in ``like``; otherwise only the total is
    the same. The real nodes may be drawn like any other, unless only those ``outside`` may.
    Raises ValueError where there are not as many outside.
    """
    generator = torch.Generator().manual_seed(seed)
    places = circuit_locations(config.n_layer)
    widths = [config.width(place) for place in places]
    if outside:
        layout = Layout(config)
        free = (~layout.join(like.masks(config))).nonzero().flatten()
        if len(free) < like.size:
            raise ValueError(
                f"{like.title} keeps {like.size} of {layout.size} nodes; there are not as many "
                "outside to draw a control from"
            )
        drawn = free[torch.randperm(len(free), generator=generator)[: like.size]]
        chosen = torch.zeros(layout.size, dtype=torch.bool)
        chosen[drawn] = True
        masks = layout.split(chosen)
    elif per_location:
        masks = {
            place: _draw(width, len(like.nodes.get(place, ())), generator)
            for place, width in zip(places, widths, strict=True)
        }
    else:
        parts = _draw(sum(widths), like.size, generator).split(widths)
        masks = dict(zip(places, parts, strict=True))
    return dataclasses.replace(like, nodes=from_masks(masks), found=Found(seed=seed))


def _draw(width: int, n: int, generator: torch.Generator) -> torch.Tensor:
    mask = torch.zeros(width, dtype=torch.bool)
    mask[torch.randperm(width, generator=generator)[:n]] = True
    return mask


def empty(config: GPTConfig) -> dict[Location, tuple[int, ...]]:
    """The ``nodes`` of a circuit that keeps nothing."""
    return dict.fromkeys(circuit_locations(config.n_layer), ())


DRAWS = 10  # random circuits of each kind
CONTROL_PAIRS = 32  # pairs that curves and random circuits are measured on
MANY = 256  # nodes; the minimality of larger circuits is measured on those pairs alone too
RANDOM = "random nodes"
RANDOM_PER_LOCATION = "random nodes, as many at each location"
RANDOM_OUTSIDE = "random nodes outside the circuit"

Step = Callable[[], None]


def measure(
    experiment: Experiment,
    order: Int[Tensor, " node"] | None = None,
    ranking: str | None = None,
    draws: int = DRAWS,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> Evidence:
    """Evidence for ``experiment.circuit`` on its prompts, random circuits among the controls.

    With an ``order`` of the nodes, best first, and what ``ranking`` it is, also the curves.
    Raises Cancelled when ``cancel`` is set meanwhile.
    """
    total = total_nodes(experiment.model.config)
    sizes = {*fraction_sizes(total), *log_grid(total)} if order is not None else ()
    has_room = 2 * experiment.circuit.size <= total
    step = counted(4 + (2 + has_room) * draws + len(sizes), progress, cancel)
    few = first_pairs(experiment, CONTROL_PAIRS)
    found = _measured(experiment, step)
    names = (RANDOM, RANDOM_PER_LOCATION, *((RANDOM_OUTSIDE,) if has_room else ()))
    for name in names if draws else ():
        found = found.with_control(random_control(few, name, draws, step))
    if order is None:
        return found
    points = curve(few, order, step)
    return _with_curve(found, points, total, ranking, few.batch_name)


def _measured(experiment: Experiment, step: Step) -> Evidence:
    answers = Answers.of(experiment, step)
    empty, rest = answers.margins(answers.empty), answers.margins(answers.rest)
    model, circuit = answers.margins(answers.model), answers.margins(answers.circuit)
    losses = [loss_of(margins.float()) for margins in (model, circuit, empty, rest)]
    edges_needed, loss_of_needed = needed_edges(experiment)
    learnable = learnable_nodes(experiment)
    total, size = total_nodes(experiment.model.config), experiment.circuit.size
    return Evidence(
        circuit=experiment.circuit.title,
        prompts=experiment.batch_name,
        nodes=size,
        edges=len(experiment.edges),
        learnable_nodes=learnable,
        model_nodes=total,
        model_loss=losses[0],
        sufficiency=losses[1],
        empty_loss=losses[2],
        necessity=losses[3],
        faithfulness=faithfulness(losses[1], losses[0], losses[2]),
        completeness=faithfulness(losses[3], losses[0], losses[2]),
        kl=divergence(answers.model, answers.circuit),
        exact_match=_match(model > 0, circuit > 0),
        exact_match_full=_match(answers.model.argmax(dim=-1), answers.circuit.argmax(dim=-1)),
        minimality=minimality(
            experiment if size <= MANY else first_pairs(experiment, CONTROL_PAIRS)
        ),
        relative_sparsity=size / learnable if learnable else 0.0,
        full_sparsity=size / total,
        edges_needed=edges_needed,
        loss_of_needed=loss_of_needed,
        target=experiment.circuit.found.target,
        anchors=anchors(answers),
        intervals=intervals(answers),
    )


def _with_curve(
    found: Evidence,
    points: tuple[CurvePoint, ...],
    total: int,
    ranking: str | None,
    prompts: str,
) -> Evidence:
    found = dataclasses.replace(found, curve=points, ranking=ranking, curve_prompts=prompts)
    if any(point.faithfulness is None for point in points):
        return found
    cpr, cmd = areas(points, fraction_sizes(total), log=False)
    cpr_log, cmd_log = areas(points, log_grid(total), log=True)
    found = dataclasses.replace(found, cpr=cpr, cmd=cmd, cpr_log=cpr_log, cmd_log=cmd_log)
    return dataclasses.replace(found, anchors=_areas_of_guess(found, points, total))


def _areas_of_guess(found: Evidence, points: tuple[CurvePoint, ...], total: int) -> Anchors | None:
    """CPR and CMD with faithfulness anchored at the best constant guess.

    The curve's last point keeps every node: it is the model.
    """
    if found.anchors is None:
        return None
    guess, model = found.anchors.constant_loss, points[-1].loss
    again = [
        dataclasses.replace(point, faithfulness=faithfulness(point.loss, model, guess))
        for point in points
    ]
    if any(point.faithfulness is None for point in again):
        return found.anchors
    cpr, cmd = areas(again, fraction_sizes(total), log=False)
    cpr_log, cmd_log = areas(again, log_grid(total), log=True)
    return dataclasses.replace(found.anchors, cpr=cpr, cmd=cmd, cpr_log=cpr_log, cmd_log=cmd_log)


def divergence(
    model: Float[Tensor, "prompt vocab"], circuit: Float[Tensor, "prompt vocab"]
) -> float:
    """KL(M‖C) in nats, mean over the prompts."""
    p, q = model.double().log_softmax(dim=-1), circuit.double().log_softmax(dim=-1)
    return max(0.0, float((p.exp() * (p - q)).sum(dim=-1).mean()))


def minimality(experiment: Experiment) -> dict[str, float]:
    """Rise of the circuit's loss without each node alone, by node."""
    run = compile_circuit(experiment.circuit, experiment.model, experiment.means).on(
        experiment.batch
    )
    nodes = experiment.circuit.node_list
    losses = run.losses_without([(), *((node,) for node in nodes)]).double().mean(dim=1)
    rises = (losses[1:] - losses[0]).tolist()
    return {str(node): rise for node, rise in zip(nodes, rises, strict=True)}


def needed_edges(experiment: Experiment) -> tuple[int | None, float | None]:
    """Edges that removal did not find spare, and the loss with the spare ones ablated together.

    None where the circuit was found without looking for spare edges.
    """
    removal = experiment.circuit.found.minimality
    if removal is None:
        return None, None
    spare = set(removal.spare_edges)
    gone = [edge for edge in experiment.edges if (str(edge.source), str(edge.target)) in spare]
    run = compile_circuit(experiment.circuit, experiment.model, experiment.means).on(
        experiment.batch
    )
    loss = float(run.losses_without([gone])[0].double().mean())
    return len(experiment.edges) - len(gone), loss


def learnable_nodes(experiment: Experiment) -> int:
    """Nodes of the whole model that are not dangling: a mask can learn about no others."""
    rows = experiment.model.lm_head.weight.detach()
    answers = torch.stack((experiment.batch.right, experiment.batch.wrong)).unique(dim=1)
    readout = (rows[answers[0]] != rows[answers[1]]).any(dim=0).cpu()
    whole = {place: torch.ones_like(mask) for place, mask in experiment.alive.items()}
    live = Liveness(experiment.model, experiment.means, readout).live(whole)
    return sum(int(mask.sum()) for mask in live.values())


def random_control(
    experiment: Experiment, name: str, draws: int, step: Step = lambda: None
) -> Control:
    """As many random nodes as the circuit has: what they do alone, and what ablating them does."""
    losses, necessities = [], []
    for seed in range(draws):
        step()
        drawn = random_nodes(
            experiment.model.config,
            experiment.circuit,
            seed,
            per_location=name == RANDOM_PER_LOCATION,
            outside=name == RANDOM_OUTSIDE,
        )
        run = compile_circuit(drawn, experiment.model, experiment.means).on(experiment.batch)
        losses.append(float(run.losses().mean()))
        necessities.append(dataclasses.replace(experiment, circuit=drawn).of_complement.loss)
    return Control(
        name,
        experiment.batch_name,
        tuple(losses),
        experiment.of_circuit.loss,
        tuple(necessities),
        experiment.of_complement.loss,
    )


def first_pairs(experiment: Experiment, pairs: int) -> Experiment:
    """The experiment on its first pairs alone."""
    if experiment.batch.n_pairs <= pairs:
        return experiment
    name = f"the first {2 * pairs} of {experiment.batch_name}"
    return dataclasses.replace(
        experiment, batch=experiment.batch.select(range(pairs)), batch_name=name
    )


def counted(of: int, progress: Progress, cancel: threading.Event | None) -> Step:
    """Counts the parts of a long computation; raises Cancelled between two of them."""
    done = 0

    def step() -> None:
        nonlocal done
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {of} measurements")
        done += 1
        progress(done, of)

    return step


def _match(one: Tensor, other: Tensor) -> float:
    return float((one == other).double().mean())

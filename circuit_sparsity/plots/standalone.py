"""A whole investigation as one HTML file that opens without a network."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from circuit_sparsity.core.names import Node
from circuit_sparsity.export.document import document
from circuit_sparsity.export.investigation import Investigation
from circuit_sparsity.plots.coloured_graph import cost, shaded_figure
from circuit_sparsity.plots.colours import LIGHT, Palette
from circuit_sparsity.plots.evidence import controls_table, measures_table
from circuit_sparsity.plots.graph import circuit_figure, legend_html
from circuit_sparsity.plots.layout import lay_out
from circuit_sparsity.plots.words import place_in_words, signed
from circuit_sparsity.tasks import TASKS

_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
# The browser asks nobody for anything, whatever the file holds.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
_STYLE = """<style>
body {{background: {background}; color: {text}; font: 16px/1.5 system-ui, sans-serif;
  max-width: 84rem; margin: 0 auto; padding: 1.5rem}}
h1 {{font-size: 1.5rem; overflow-wrap: anywhere}} h2 {{font-size: 1.15rem; margin-top: 2rem}}
.faint, summary {{color: {faint}}} summary {{cursor: pointer; padding: .4rem 0}}
.wide {{overflow: auto; max-height: 34rem; overflow-wrap: anywhere}}
table {{border-collapse: collapse; font-size: .9rem}}
th, td {{text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0;
  border-bottom: 1px solid {residual}}}
.wide td.number {{text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap}}
tr[data-part] {{cursor: pointer}} tr.off td {{color: {ablated}; font-weight: 600}}
tr.chosen td {{background: {band}; box-shadow: inset 0 2px {ablated}, inset 0 -2px {ablated}}}
pre {{white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem}}
button {{font: inherit; color: inherit; background: {band}; border: 1px solid {faint};
  border-radius: 6px; padding: .2rem .8rem; cursor: pointer}}
</style>"""


def standalone_html(found: Investigation, palette: Palette = LIGHT) -> str:
    """The page: graph, numbers, what is ablated, tables, evidence, labels, and the JSON of all.

    About 5 MB, nearly all of it plotly.js.
    """
    told = document(found)
    circuit = found.experiment.circuit
    sections = (
        _opening(found, told),
        "<h2>The circuit</h2>",
        '<p><button data-format="png">PNG</button> <button data-format="svg">SVG</button> '
        '<span class="faint">Click a mark to find its row, or a row to find its mark. Magenta is '
        "switched off.</span></p>",
        '<div id="graph"></div>',
        _legend(found, palette),
        _ablation(told),
        _recipe(told["recipe"]),
        _views(found.views),
        _parts(f"Nodes ({len(told['nodes'])})", _node_rows(found, told["nodes"]), _NODE_HEAD, True),
        _parts(f"Edges ({len(told['edges'])})", map(_edge_row, told["edges"]), _EDGE_HEAD, False),
        _evidence(found, palette),
        "<h2>How it was found</h2>",
        _folded("Settings and result", _pre(told["circuit"]["found"]), is_open=False),
    )
    style = _STYLE.format(**{name: getattr(palette, name) for name in _COLOURS})
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(circuit.title)}</title>{style}</head><body>\n"
        + "\n".join(sections)
        + _data("figure", investigation_figure(found, palette).to_plotly_json())
        + _data("investigation", told)
        + f"<script>{get_plotlyjs()}</script>\n<script>{_SCRIPT}</script>\n</body></html>\n"
    )


def investigation_figure(found: Investigation, palette: Palette = LIGHT) -> Figure:
    """The graph with what is switched off marked, costs as colours, and labels on hovering."""
    wired, config = found.wiring, found.experiment.model.config
    joins = [(edge.source, edge.target) for edge in wired.edges]
    layout = lay_out(wired.nodes, joins, config.d_head)
    rises = {node: found.rises[node] for node in wired.nodes if node in found.rises}
    if wired.nodes and len(rises) == len(wired.nodes):
        on = f"on {found.rises_on}" if found.rises_on else "alone"
        shading = cost(rises, escape(on))
        figure = shaded_figure(wired, layout, config, shading, palette, found.off)
    else:
        figure = circuit_figure(wired, layout, config, palette, found.off)
    marks: Any = figure.data[0]
    labels = [escape(found.labels.get(str(node), "")) for node in wired.nodes]
    texts = zip(marks.hovertext, [*labels, ""], strict=True)
    marks.hovertext = [f"{text}<br><i>{label}</i>" if label else text for text, label in texts]
    return figure


_COLOURS = ("background", "text", "faint", "residual", "ablated", "band")
_NODE_HEAD = ("node", "label", "what it is", "mean it is held at", "rise without it, nats", "off")
_EDGE_HEAD = ("edge", "label", "weight", "rise without it, nats", "off")


def _opening(found: Investigation, told: Mapping[str, Any]) -> str:
    circuit, of = found.experiment.circuit, told["circuit"]
    known = TASKS.get(circuit.task.removesuffix("_beeg"))
    rows = {"whole model": told["losses"]["model"], "circuit": told["losses"]["circuit"]}
    if told["ablation"]:
        rows["circuit without what is switched off"] = told["ablation"]["after"]
    return (
        f"<h1>{escape(circuit.title)}</h1><p>{escape(known.summary if known else '')} "
        f"{of['nodes']:,} of {of['model_nodes']:,} nodes and {of['edges']:,} edges; everything "
        "else is held at its mean over pretraining text.</p>"
        f"{_outcomes(rows)}<p class='faint'>Measured on {escape(told['prompts'])}. Losses are nats "
        "per sequence, cross-entropy over the two answers at the last position; chance is 0.6931, "
        f"p 0.5.{_link(found.link)}</p>"
    )


def _link(link: str) -> str:
    """The address as text: a file that anybody may have written leads nowhere by itself."""
    return f" The view in the explorer: <code>{escape(link)}</code>" if link else ""


def _outcomes(rows: Mapping[str, Mapping[str, float]]) -> str:
    body = [
        [escape(name), *(f"{one[key]:.4f}" for key in ("loss", "p_right", "accuracy"))]
        for name, one in rows.items()
    ]
    return _table(("", "loss, nats", "p(right)", "accuracy"), map(_plain_row, body))


def _legend(found: Investigation, palette: Palette) -> str:
    strengths = sorted(abs(edge.weight) for edge in found.wiring.edges) or [0.0]
    colours = (
        f"<p class='faint'>Marks: blue to orange by the rise in the loss when that node alone is "
        f"ablated, on {escape(found.rises_on)}.</p>"
        if any(isinstance(part, Node) for part in found.rises)
        else ""
    )
    return legend_html(palette, strengths[0], strengths[-1]) + colours


def _ablation(told: Mapping[str, Any]) -> str:
    ablated = told["ablation"]
    if ablated is None:
        return "<h2>What is switched off</h2><p>Nothing.</p>"
    before, after = ablated["before"], ablated["after"]
    parts = "".join(
        f"<li><code>{escape(one['part'])}</code>, {escape(one['held'])} "
        f"<i>{escape(told['labels'].get(one['part'], ''))}</i></li>"
        for one in ablated["parts"]
    )
    rise = signed(ablated["rise"], 4)
    return (
        f"<h2>What is switched off</h2><ul>{parts}</ul><p>Together: the loss goes from "
        f"{before['loss']:.4f} to <b>{after['loss']:.4f}</b> ({rise} nats per sequence), the "
        f"probability of the right answer from {before['p_right']:.4f} to "
        f"{after['p_right']:.4f}.</p>"
    )


def _recipe(recipe: Any) -> str:
    """The steps as a table where they are like each other, else as they are."""
    steps = recipe.get("steps") if isinstance(recipe, Mapping) else recipe
    if not steps:
        return ""
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        return f"<h2>Recipe</h2>{_pre(recipe)}"
    head = list(dict.fromkeys(key for step in steps for key in step))
    rows = [[escape(str(step.get(key, ""))) for key in head] for step in steps]
    return "<h2>Recipe</h2>" + _table(head, (f"<tr>{_cells(row)}</tr>" for row in rows))


def _views(views: Mapping[str, str]) -> str:
    """The named views as text: what is written after the explorer's address opens one."""
    if not views:
        return ""
    rows = [[escape(name), f"<code>?{escape(query)}</code>"] for name, query in views.items()]
    return "<h2>Named views</h2>" + _table(("view", "query"), map(_plain_row, rows))


def _node_rows(found: Investigation, nodes: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    config = found.experiment.model.config
    for node in nodes:
        words = place_in_words(Node.parse(node["node"]), config)
        yield _part_row(node["node"], node, [words], [f"{node['mean']:.4f}"])


def _edge_row(edge: Mapping[str, Any]) -> str:
    return _part_row(f"{edge['source']}>{edge['target']}", edge, [], [signed(edge["weight"], 4)])


def _part_row(
    name: str, part: Mapping[str, Any], words: Sequence[str], numbers: Sequence[str]
) -> str:
    rise = "not measured" if part["rise"] is None else signed(part["rise"], 4)
    texts = _cells(escape(text) for text in (part["label"], *words))
    values = "".join(f'<td class="number">{text}</td>' for text in (*numbers, rise))
    off = ' class="off"' if part["off"] else ""
    return (
        f'<tr data-part="{escape(name)}" tabindex="0"{off}><td><code>{escape(name)}</code></td>'
        f"{texts}{values}<td>{'off' if part['off'] else ''}</td></tr>"
    )


def _parts(title: str, rows: Iterable[str], head: Sequence[str], is_open: bool) -> str:
    return f"<h2>{title}</h2>{_folded('The table', _table(head, rows), is_open)}"


def _folded(title: str, content: str, is_open: bool) -> str:
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{title}</summary>{content}</details>"


def _evidence(found: Investigation, palette: Palette) -> str:
    evidence = found.evidence
    if evidence is None:
        return "<h2>Evidence</h2><p>None is stored for this circuit.</p>"
    troubles = "".join(f"<p><b>Warning:</b> {escape(one)}.</p>" for one in evidence.troubles)
    return (
        f"<h2>Evidence</h2><p class='faint'>Measured on {escape(evidence.prompts)}.</p>{troubles}"
        f"{measures_table(evidence, palette)}<h2>Controls</h2>"
        f"{controls_table(evidence, palette) if evidence.controls else '<p>None run.</p>'}"
    )


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"<td>{text}</td>" for text in texts)


def _plain_row(cells: Sequence[str]) -> str:
    first, *numbers = cells
    return f"<tr><td>{first}</td>{''.join(f'<td class=number>{x}</td>' for x in numbers)}</tr>"


def _table(head: Sequence[str], rows: Iterable[str]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="wide"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _pre(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"


def _data(name: str, value: Any) -> str:
    """JSON that no text in it can end before its end."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return f'\n<script type="application/json" id="{name}">{text}</script>\n'

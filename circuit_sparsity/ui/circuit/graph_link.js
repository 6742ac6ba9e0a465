// Beside the chart: tells the server which node or edge is looked at and which are ablated, and
// marks both in the figure that is there, so that zoom and pan survive. A click looks at one; a
// double click or the key A ablates or restores it, and so does shift+click, which collects
// several. A double click beside the nodes fits the graph. Paths are drawn along the nodes, and
// the node under the mouse lights its edges and neighbours; up to five that are pinned stay lit.
const links = new WeakMap(); // plot -> { picked, selected, pins, version, home, off }
const PINS = 5;
const PATH = 2, SELECTED = 4; // traces
const DOUBLE = 350; // ms between the two presses of a double click
const SVG = "http://www.w3.org/2000/svg";

export default function ({ data, setTriggerValue }) {
  let plot = null;
  const look = () => {
    const found = document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
    if (found && found !== plot && found._fullLayout && found.on) {
      plot = found;
      attach(plot, data, setTriggerValue);
    }
  };
  look();
  // The chart may come later, and anew when its content or the theme changes.
  const timer = setInterval(look, 100);
  return () => {
    clearInterval(timer);
    links.get(plot)?.off();
  };
}

function attach(plot, data, setTriggerValue) {
  const old = links.get(plot);
  old?.off();
  const { xaxis, yaxis } = plot.layout;
  const link = { picked: data.picked, selected: data.selected, version: data.version,
    home: old?.home ?? [[...xaxis.range], [...yaxis.range]], last: old?.last ?? {},
    pins: old?.pins ?? pinned };
  if (old && old.version === data.version) {
    link.picked = old.picked;
    link.selected = old.selected;
  } else {
    mark(plot, link.picked);
    ring(plot, link.selected);
  }

  trace(plot, data.paths);
  const refresh = () => rest(plot, link);
  const select = (part) => {
    link.selected = part;
    ring(plot, part);
    refresh();
    setTriggerValue("selected", part ?? "");
  };
  const change = (part) => {
    const has = link.picked.includes(part);
    link.picked = has ? link.picked.filter((name) => name !== part) : [...link.picked, part];
    setTriggerValue("picked", { nodes: link.picked, marked: mark(plot, link.picked) });
    refresh();
  };
  const click = ({ points, event }) => {
    const part = points.find((point) => typeof point.customdata === "string")?.customdata;
    if (!part) return;
    plot.dispatchEvent(new CustomEvent("circuit-focus", { detail: part, bubbles: true }));
    const { last } = link, now = event?.timeStamp ?? performance.now(); // when it was pressed
    const twice = last.part === part && now - last.at < DOUBLE;
    link.last = twice ? {} : { part, at: now };
    if (twice || event?.shiftKey) change(part);
    else if (link.selected !== part) select(part);
  };
  const fit = () => {
    if (performance.now() - (link.last.at ?? -DOUBLE) < DOUBLE || plot._hoverdata?.length) return;
    const [x, y] = link.home;
    window.Plotly?.relayout(plot, { "xaxis.range": x, "yaxis.range": y });
    if (link.selected) select(null);
  };
  const toggle = ({ detail }) => change(detail);
  const pin = ({ detail }) => { // no name: none is pinned any more
    const others = link.pins.filter((name) => name !== detail);
    const isNew = detail && others.length === link.pins.length;
    link.pins = pinned = detail ? [...others, ...(isNew ? [detail] : [])].slice(-PINS) : [];
    refresh();
  };
  const cursor = (shape) => {
    for (const area of plot.querySelectorAll(".nsewdrag")) area.style.cursor = shape;
  };
  const enter = ({ points }) => {
    cursor("pointer");
    const point = points.find(({ curveNumber }) => curveNumber === 0);
    if (point) light(plot, [point.pointNumber, ...points_of(plot, link.pins)], true);
  };
  const leave = () => {
    cursor("");
    refresh();
  };
  const moving = () => dark(plot); // lines that are laid over would stay behind
  plot.on("plotly_click", click);
  plot.on("plotly_doubleclick", fit);
  plot.addEventListener("circuit-toggle", toggle);
  plot.on("plotly_hover", enter);
  plot.on("plotly_unhover", leave);
  plot.on("plotly_relayouting", moving);
  plot.on("plotly_relayout", refresh);
  plot.addEventListener("circuit-pin", pin);
  link.off = () => { // a chart that is gone has no listeners left
    plot.removeListener?.("plotly_click", click);
    plot.removeListener?.("plotly_doubleclick", fit);
    plot.removeEventListener("circuit-toggle", toggle);
    plot.removeListener?.("plotly_hover", enter);
    plot.removeListener?.("plotly_unhover", leave);
    plot.removeListener?.("plotly_relayouting", moving);
    plot.removeListener?.("plotly_relayout", refresh);
    plot.removeEventListener("circuit-pin", pin);
    dark(plot);
  };
  links.set(plot, link);
  refresh();
  plot.dataset.linked = "true"; // for tests: from here on clicks are answered
}

// Whether the page's own copy of Plotly could be reached; without it the server bakes the marks in.
function mark(plot, picked) {
  if (!window.Plotly) return false;
  const found = plot.data.slice(0, PATH).map(({ customdata }) =>
    picked.map((name) => customdata.indexOf(name)).filter((i) => i >= 0));
  // Nodes all look alike when none is picked; points on edges are seen only when picked.
  const selectedpoints = found.map((points, trace) => (points.length || trace ? points : null));
  window.Plotly.restyle(plot, { selectedpoints }, [...found.keys()]);
  return true;
}

// The ring around what is looked at.
function ring(plot, part) {
  if (!window.Plotly || plot.data.length <= SELECTED) return;
  const at = plot.data.slice(0, PATH).map(({ customdata }) => customdata.indexOf(part));
  const trace = at.findIndex((i) => i >= 0);
  const { x, y } = plot.data[Math.max(trace, 0)];
  const place = (values) => [[trace < 0 ? null : values[at[trace]]]];
  window.Plotly.restyle(plot, { x: place(x), y: place(y) }, [SELECTED]);
}

function trace(plot, paths) {
  if (!window.Plotly || (!paths.length && plot.data[PATH].x.length <= 1)) return;
  const { customdata, x, y } = plot.data[0];
  const points = paths.flatMap((path) => [...path.map((name) => customdata.indexOf(name)), -1]);
  const along = (values) => [points.map((i) => (i < 0 ? null : values[i]))];
  window.Plotly.restyle(plot, { x: along(x), y: along(y) }, [PATH]);
}

let pinned = []; // names: outlive a chart that is drawn anew

function points_of(plot, names) {
  const { customdata } = plot.data[0];
  return names.map((name) => customdata.indexOf(name)).filter((i) => i >= 0);
}

// What is lit while the mouse is on no node: what is pinned, else the edges of the node that is
// looked at where the picture does not have them all.
function rest(plot, link) {
  const pins = points_of(plot, link.pins);
  plot.dataset.pins = String(pins.length); // for tests
  if (pins.length) return light(plot, pins, true);
  dark(plot);
  if (plot.data[0].meta?.partial && link.selected) light(plot, points_of(plot, [link.selected]));
}

// The edges and neighbours of some nodes stay, everything else fades where it is to be `dim`:
// classes and a few lines laid over the chart. Nothing is drawn anew, nothing goes to the server.
function light(plot, nodes, dim = false) {
  dark(plot);
  const { joins } = plot.data[0].meta, { xaxis, yaxis, _size: size } = plot._fullLayout;
  const points = plot.querySelectorAll(".scatterlayer .trace")[0]?.querySelectorAll(".point");
  if (!joins || !points || !nodes.length) return;
  const over = document.createElementNS(SVG, "svg"), { x, y } = plot.data[0];
  over.setAttribute("class", "circuit-light");
  over.setAttribute("style", "position:absolute;inset:0;width:100%;height:100%;pointer-events:none");
  const centre = new Set(nodes), near = new Set(nodes), lines = ["", "", ""];
  const place = (n) => `${size.l + xaxis.c2p(x[n])},${size.t + yaxis.c2p(y[n])}`;
  for (let i = 0; i < joins.from.length; i++) {
    const [a, b] = [joins.from[i], joins.to[i]];
    if (!centre.has(a) && !centre.has(b)) continue;
    near.add(a).add(b);
    lines[joins.kind[i]] += `M${place(a)}L${place(b)}`;
  }
  const many = near.size > 200;
  lines.forEach((path, kind) => {
    if (!path) return;
    const line = document.createElementNS(SVG, "path");
    const shape = { d: path, fill: "none", stroke: joins.ink[kind],
      "stroke-width": (kind < 2 ? 2.5 : 1.5) / (many ? 2.5 : 1),
      "stroke-dasharray": ["none", "6 4", "2 3"][kind] };
    for (const [name, value] of Object.entries(shape)) line.setAttribute(name, value);
    over.append(line);
  });
  const svg = plot.querySelector(".svg-container");
  svg.insertBefore(over, svg.querySelector(".main-svg")); // under the nodes
  if (!dim) return;
  for (const node of near) points[node]?.classList.add("lit");
  plot.classList.add("circuit-lit");
  plot.dataset.lit = String(near.size); // for tests
}

function dark(plot) {
  plot.querySelector(".circuit-light")?.remove();
  if (!plot.classList.contains("circuit-lit")) return;
  plot.classList.remove("circuit-lit");
  for (const point of plot.querySelectorAll(".point.lit")) point.classList.remove("lit");
  delete plot.dataset.lit;
}

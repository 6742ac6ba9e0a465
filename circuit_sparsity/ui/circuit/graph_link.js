// Beside the chart: tells the server which node or edge is looked at and which are ablated, and
// marks both in the figure that is there, so that zoom and pan survive. A click looks at one; a
// double click or the key A ablates or restores it, and so does shift+click, which collects
// several. A double click beside the nodes fits the graph. Paths are drawn along the nodes, and
// the node under the mouse lights its edges and neighbours.
const links = new WeakMap(); // plot -> { picked, selected, version, home, off }
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
    home: old?.home ?? [[...xaxis.range], [...yaxis.range]], last: old?.last ?? {} };
  if (old && old.version === data.version) {
    link.picked = old.picked;
    link.selected = old.selected;
  } else {
    mark(plot, link.picked);
    ring(plot, link.selected);
  }

  trace(plot, data.paths);
  const select = (part) => {
    link.selected = part;
    ring(plot, part);
    setTriggerValue("selected", part ?? "");
  };
  const change = (part) => {
    const has = link.picked.includes(part);
    link.picked = has ? link.picked.filter((name) => name !== part) : [...link.picked, part];
    setTriggerValue("picked", { nodes: link.picked, marked: mark(plot, link.picked) });
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
  const cursor = (shape) => {
    for (const area of plot.querySelectorAll(".nsewdrag")) area.style.cursor = shape;
  };
  const enter = ({ points }) => {
    cursor("pointer");
    const point = points.find(({ curveNumber }) => curveNumber === 0);
    if (point) light(plot, point.pointNumber);
  };
  const leave = () => {
    cursor("");
    dark(plot);
  };
  plot.on("plotly_click", click);
  plot.on("plotly_doubleclick", fit);
  plot.addEventListener("circuit-toggle", toggle);
  plot.on("plotly_hover", enter);
  plot.on("plotly_unhover", leave);
  plot.on("plotly_relayouting", leave);
  link.off = () => { // a chart that is gone has no listeners left
    plot.removeListener?.("plotly_click", click);
    plot.removeListener?.("plotly_doubleclick", fit);
    plot.removeEventListener("circuit-toggle", toggle);
    plot.removeListener?.("plotly_hover", enter);
    plot.removeListener?.("plotly_unhover", leave);
    plot.removeListener?.("plotly_relayouting", leave);
    dark(plot);
  };
  links.set(plot, link);
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

// The node's edges and neighbours stay, everything else fades: classes and a few lines laid over
// the chart. Nothing is drawn anew and nothing goes to the server.
function light(plot, at) {
  dark(plot);
  const { joins } = plot.data[0].meta, { xaxis, yaxis, _size: size } = plot._fullLayout;
  const points = plot.querySelectorAll(".scatterlayer .trace")[0]?.querySelectorAll(".point");
  if (!joins || !points) return;
  const over = document.createElementNS(SVG, "svg"), { x, y } = plot.data[0];
  over.setAttribute("class", "circuit-light");
  over.setAttribute("style", "position:absolute;inset:0;width:100%;height:100%;pointer-events:none");
  const near = new Set([at]);
  for (let i = 0; i < joins.from.length; i++) {
    const [a, b] = [joins.from[i], joins.to[i]];
    if (a !== at && b !== at) continue;
    near.add(a).add(b);
    const line = document.createElementNS(SVG, "line");
    const px = (n) => size.l + xaxis.c2p(x[n]), py = (n) => size.t + yaxis.c2p(y[n]);
    const shape = { x1: px(a), y1: py(a), x2: px(b), y2: py(b), stroke: joins.ink[joins.kind[i]],
      "stroke-width": joins.kind[i] < 2 ? 2.5 : 1.5,
      "stroke-dasharray": ["none", "6 4", "2 3"][joins.kind[i]] };
    for (const [name, value] of Object.entries(shape)) line.setAttribute(name, value);
    over.append(line);
  }
  for (const node of near) points[node]?.classList.add("lit");
  plot.classList.add("circuit-lit");
  const svg = plot.querySelector(".svg-container");
  svg.insertBefore(over, svg.querySelector(".main-svg")); // under the nodes
  plot.dataset.lit = String(near.size); // for tests
}

function dark(plot) {
  if (!plot.classList.contains("circuit-lit")) return;
  plot.classList.remove("circuit-lit");
  for (const point of plot.querySelectorAll(".point.lit")) point.classList.remove("lit");
  plot.querySelector(".circuit-light")?.remove();
  delete plot.dataset.lit;
}

// Beside the chart: tells the server which nodes and edges are picked, and marks them in the figure
// that is there, so that zoom and pan survive. A plain click picks one of them or lets it go;
// shift+click, like the key for it, adds one or takes it out. Paths are drawn along the nodes.
const links = new WeakMap(); // plot -> { picked, version, off }
const PATH = 2; // trace of the paths

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
  const link = { picked: data.picked, version: data.version };
  if (old && old.version === data.version) link.picked = old.picked;
  else mark(plot, link.picked);

  trace(plot, data.paths);
  const change = (node, together) => {
    const has = link.picked.includes(node);
    if (together) {
      link.picked = has ? link.picked.filter((name) => name !== node) : [...link.picked, node];
    } else {
      link.picked = has && link.picked.length === 1 ? [] : [node];
    }
    const marked = mark(plot, link.picked);
    setTriggerValue("picked", { nodes: link.picked, marked });
  };
  const click = ({ points, event }) => {
    const node = points.find((point) => typeof point.customdata === "string")?.customdata;
    if (!node) return;
    plot.dispatchEvent(new CustomEvent("circuit-focus", { detail: node, bubbles: true }));
    change(node, event?.shiftKey);
  };
  const toggle = ({ detail }) => change(detail, true);
  const point = (cursor) => () => {
    for (const area of plot.querySelectorAll(".nsewdrag")) area.style.cursor = cursor;
  };
  const [enter, leave] = [point("pointer"), point("")];
  plot.on("plotly_click", click);
  plot.addEventListener("circuit-toggle", toggle);
  plot.on("plotly_hover", enter);
  plot.on("plotly_unhover", leave);
  link.off = () => { // a chart that is gone has no listeners left
    plot.removeListener?.("plotly_click", click);
    plot.removeEventListener("circuit-toggle", toggle);
    plot.removeListener?.("plotly_hover", enter);
    plot.removeListener?.("plotly_unhover", leave);
  };
  links.set(plot, link);
  plot.dataset.linked = "true"; // for tests: from here on clicks are heard
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

function trace(plot, paths) {
  if (!window.Plotly || (!paths.length && plot.data[PATH].x.length <= 1)) return;
  const { customdata, x, y } = plot.data[0];
  const points = paths.flatMap((path) => [...path.map((name) => customdata.indexOf(name)), -1]);
  const along = (values) => [points.map((i) => (i < 0 ? null : values[i]))];
  window.Plotly.restyle(plot, { x: along(x), y: along(y) }, [PATH]);
}

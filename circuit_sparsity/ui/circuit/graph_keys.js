// Keys of the circuit's graph. The node that they are at has a ring; nothing goes to the server but
// what changes the circuit.
const FOCUS = 3; // trace of the ring
const ARROWS = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" };
let focused = null; // the node's name: outlives a chart that is drawn anew

export default function ({ data, parentElement, setTriggerValue }) {
  const said = parentElement.querySelector(".said");
  const plot = () => document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);

  const show = (chart, point) => {
    const nodes = chart.data[0];
    focused = nodes.customdata[point];
    window.Plotly?.restyle(chart, { x: [[nodes.x[point]]], y: [[nodes.y[point]]] }, [FOCUS]);
    window.Plotly?.Fx?.hover(chart, [{ curveNumber: 0, pointNumber: point }]);
    said.textContent = nodes.hovertext[point].replace(/<br>/g, " · ").replace(/<[^>]*>/g, "");
  };

  const move = (way) => {
    const chart = plot();
    if (!chart?.data) return;
    const { customdata, meta } = chart.data[0], last = customdata.length - 1; // the anchor is last
    if (last < 1) return;
    const at = customdata.indexOf(focused);
    if (at < 0) show(chart, chart.data[0].selectedpoints?.[0] ?? 0);
    else if (meta[way][at] >= 0) show(chart, meta[way][at]);
    else said.textContent = `${focused}: nothing further ${way}`;
  };

  const toggle = () => {
    const chart = plot();
    const at = chart?.data[0].customdata.indexOf(focused) ?? -1;
    if (at < 0) move("up"); // nothing is focused yet: begin
    else chart.dispatchEvent(new CustomEvent("circuit-toggle", { detail: focused }));
  };

  const pin = (name) => plot()?.dispatchEvent(new CustomEvent("circuit-pin", { detail: name }));

  const search = () => document.querySelector(`.st-key-${data.search} input`)?.focus();

  const fill = () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.();
  };
  const filled = () => {
    const full = Boolean(document.fullscreenElement);
    document.documentElement.toggleAttribute("data-circuit-full", full);
    if (full) plot()?.closest(".st-key-graph_and_panel")?.scrollIntoView();
  };

  const clicked = ({ detail }) => { // the ring waits until a key is pressed
    if (plot()?.data[0].customdata.includes(detail)) focused = detail;
  };

  const press = (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = "input, textarea, select, [contenteditable=true], [role=listbox], [role=dialog]";
    const ownKeys = "[data-testid=stDataFrame], [role=radiogroup], [role=slider], [role=tablist]";
    if (target.closest?.(`${typing}, ${ownKeys}`)) return;
    if (!plot()) return;
    const act = {
      a: toggle,
      u: () => setTriggerValue("undo", true),
      U: () => setTriggerValue("redo", true),
      p: focused && (() => pin(focused)),
      P: () => pin(null),
      "/": search,
      f: fill,
      Escape: document.fullscreenElement && fill,
    }[key] ?? (ARROWS[key] && (() => move(ARROWS[key])));
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };

  document.addEventListener("keydown", press, true);
  document.addEventListener("circuit-focus", clicked);
  document.addEventListener("fullscreenchange", filled);
  const button = parentElement.querySelector("button");
  button.addEventListener("click", fill);
  parentElement.querySelector(".hint").dataset.listening = "true"; // for tests
  return () => {
    document.removeEventListener("keydown", press, true);
    document.removeEventListener("circuit-focus", clicked);
    document.removeEventListener("fullscreenchange", filled);
    button.removeEventListener("click", fill);
  };
}

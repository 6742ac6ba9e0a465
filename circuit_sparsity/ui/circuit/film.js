// Shows one frame of the film: hides what it lacks, rings what enters, moves the mark on the curve.
// All in the figures that are there; the server hears where it stopped.
const STEP = 900; // ms a frame

export default function ({ data, parentElement, setTriggerValue }) {
  const find = (name) => parentElement.querySelector(name);
  const plot = (key) => document.querySelector(`.st-key-${key} .js-plotly-plot`);
  const [play, slider, name, count] = [".play", "input", ".name", ".count"].map(find);
  const last = data.names.length - 1;
  let at = data.at, timer = null, drawn = null;
  slider.max = last;

  const draw = () => {
    const chart = plot(data.chart), curve = plot(data.curve);
    slider.value = at;
    name.textContent = data.names[at];
    if (!chart?._fullLayout || !window.Plotly) return;
    const { nodes, shapes, absent, ink, counts } = chart.data[0].meta;
    const has = (bits, frame) => frame >= 0 && Boolean((bits >> frame) & 1);
    const enters = nodes.map((bits) => at > 0 && has(bits, at) && !has(bits, at - 1));
    const changes = Object.fromEntries(
      shapes.map((bits, i) => [`shapes[${i}].visible`, has(bits, at)]));
    window.Plotly.update(chart, {
      "marker.opacity": [[...nodes.map((bits) => (has(bits, at) ? 1 : absent)), 0]],
      "marker.line.width": [[...enters.map((is) => (is ? 3 : 1)), 0]],
      "marker.line.color": [[...enters.map((is) => ink[Number(is)]), ink[0]]],
    }, changes, [0]);
    count.textContent = counts[at];
    if (curve?._fullLayout) {
      const { x, y } = curve.data[0];
      window.Plotly.restyle(curve, { x: [[x[at]]], y: [[y[at]]] }, [1]);
    }
    chart.dataset.frame = String(at); // for tests
    drawn = chart;
  };
  const go = (frame, tell) => {
    at = Math.min(Math.max(frame, 0), last);
    draw();
    if (tell) setTriggerValue("at", at);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ Play";
  };
  const start = () => {
    if (at === last) go(0, false);
    play.textContent = "❚❚ Pause";
    timer = setInterval(() => {
      go(at + 1, at + 1 >= last);
      if (at >= last) stop();
    }, STEP);
  };

  play.onclick = () => {
    if (timer === null) return start();
    stop();
    setTriggerValue("at", at);
  };
  slider.oninput = () => { stop(); go(Number(slider.value), false); };
  slider.onchange = () => go(Number(slider.value), true);
  find(".back").onclick = () => { stop(); go(at - 1, true); };
  find(".on").onclick = () => { stop(); go(at + 1, true); };
  draw();
  // The chart may come later, and anew when the theme changes.
  const waiting = setInterval(() => {
    const chart = plot(data.chart);
    if (chart && chart !== drawn) draw();
  }, 200);
  return () => { clearInterval(waiting); clearInterval(timer); };
}

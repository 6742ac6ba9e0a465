// Buttons that save a chart of the page as a picture, drawn by the page's own Plotly: the graph as
// it is shown, with its title above, and the legend and the scale of its colours below.
const BELOW = 96; // pixels for the legend

export default function ({ data, parentElement }) {
  const said = parentElement.querySelector("[role=status]");
  const buttons = [...parentElement.querySelectorAll("button")];
  for (const button of buttons) {
    button.onclick = async () => {
      const plot = document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
      if (!plot || !window.Plotly) {
        said.textContent = "Use the camera in the graph's upper right corner: it saves a PNG.";
        return;
      }
      const format = button.dataset.format;
      await window.Plotly.downloadImage(picture(plot, data), {
        format, scale: 2, filename: data.name, ...size(plot),
      });
      said.textContent = `Saved ${data.name}.${format}.`;
    };
  }
}

function size(plot) {
  const { width, height } = plot.getBoundingClientRect();
  return { width: Math.max(width, 640), height: height + BELOW + 30 };
}

function picture(plot, data) {
  const { layout } = plot, scale = layout.meta?.scale, { height } = plot.getBoundingClientRect();
  const font = { color: data.text, size: 12 };
  const legend = { text: data.legend.join("<br>"), showarrow: false, align: "left", font,
    xref: "paper", x: 0, xanchor: "left", yref: "paper", y: 0, yanchor: "top", yshift: -8 };
  const shown = {
    ...layout, ...size(plot), autosize: false, paper_bgcolor: data.background,
    margin: { ...layout.margin, t: layout.margin.t + 30, b: layout.margin.b + BELOW },
    title: { text: data.title, font: { color: data.text, size: 15 }, x: 0.02, xanchor: "left" },
    annotations: [...(layout.annotations ?? []), legend],
  };
  if (!scale?.largest) return { data: plot.data, layout: shown };
  const { largest, colours, words } = scale;
  const bar = { orientation: "h", thickness: 10, len: 0.4, x: 1, xanchor: "right", y: 0,
    yanchor: "top", ypad: 22, tickfont: font, outlinewidth: 0,
    title: { text: words, side: "top", font }, tickvals: [-largest, 0, largest], tickformat: "+.3g" };
  const swatch = { type: "scatter", mode: "markers", x: [null], y: [null], hoverinfo: "skip",
    marker: { color: [0], cmin: -largest, cmax: largest, showscale: true, colorbar: bar,
      colorscale: colours.map((colour, i) => [i / (colours.length - 1), colour]) } };
  return { data: [...plot.data, swatch], layout: shown };
}

// Buttons that save a chart of the page as a picture, drawn by the page's own Plotly.
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
      const { width, height } = plot.getBoundingClientRect();
      const layout = { ...plot.layout, paper_bgcolor: data.background };
      const figure = { data: plot.data, layout };
      const format = button.dataset.format;
      await window.Plotly.downloadImage(figure, {
        format, width, height, scale: 2, filename: data.name,
      });
      said.textContent = `Saved ${data.name}.${format}.`;
    };
  }
}

// In the stand-alone file: the graph, its pictures, and rows and marks that lead to each other.
const figure = JSON.parse(document.getElementById("figure").textContent);
const plot = document.getElementById("graph");
const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["toImage"] };

Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => {
  plot.on("plotly_click", ({ points }) => show(points[0]?.customdata));
});

for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("click", () => {
    const { width, height } = plot.getBoundingClientRect();
    const background = getComputedStyle(document.body).backgroundColor;
    const layout = { ...plot.layout, paper_bgcolor: background };
    const size = { width, height, scale: 2, format: button.dataset.format };
    Plotly.downloadImage({ data: plot.data, layout }, { ...size, filename: document.title });
  });
}

for (const row of document.querySelectorAll("tr[data-part]")) {
  row.addEventListener("click", () => show(row.dataset.part));
  row.addEventListener("keydown", ({ key }) => key === "Enter" && show(row.dataset.part));
}

// Mark one node or edge in the tables and in the graph, beside those that are switched off.
function show(part) {
  for (const row of document.querySelectorAll("tr[data-part]")) {
    const chosen = row.dataset.part === part;
    row.classList.toggle("chosen", chosen);
    if (chosen) {
      row.closest("details").open = true;
      row.scrollIntoView({ block: "nearest" });
    }
  }
  const size = figure.data[0].marker.size;
  const sizes = figure.data[0].customdata.map((name) => (name === part ? size + 9 : size));
  Plotly.restyle(plot, { "marker.size": [sizes] }, [0]);
}

"""Library values as pictures: Plotly figures and escaped HTML. Reads no state, draws no page."""

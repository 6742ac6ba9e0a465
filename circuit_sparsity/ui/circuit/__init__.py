"""The circuit page: the graph, what is beside it and under it."""

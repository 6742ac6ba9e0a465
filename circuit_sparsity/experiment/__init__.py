"""A circuit on the table: opened by its names, run, ablated, changed by recipes, compared."""

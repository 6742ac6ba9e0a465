"""The pages that compare: two circuits, sweeps, models, curves, claims."""

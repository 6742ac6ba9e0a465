"""Ablation recipes at work: effects one by one and together, other prompts, a Python snippet."""

from circuit_sparsity.circuits.recipe import Level, Recipe, Step

__all__ = ["Level", "Recipe", "Step"]

"""A circuit as something that runs: exact, and at the cost of what it keeps."""

from circuit_sparsity.runtime.compiled.compile import CompiledCircuit, compile_circuit
from circuit_sparsity.runtime.compiled.run import Ablation, CircuitRun, Fill, Prompts

__all__ = [
    "Ablation",
    "CircuitRun",
    "CompiledCircuit",
    "Fill",
    "Prompts",
    "compile_circuit",
]

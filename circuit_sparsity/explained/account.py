"""How a circuit works, in words: one text a circuit, kept beside this file."""

from pathlib import Path

from circuit_sparsity.circuits.circuit import Circuit

ACCOUNTS = Path(__file__).with_name("accounts")


def account_of(circuit: Circuit) -> str | None:
    """The account of ``circuit`` in Markdown; None where nobody has written one.

    What it says was measured on the circuit of that name that ships, and a mark such as [Q4] at
    the end of a claim is the name of the test that measures it again.
    """
    names = (circuit.model, circuit.task, circuit.sweep, circuit.k)
    path = ACCOUNTS / f"{'.'.join(names)}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else None

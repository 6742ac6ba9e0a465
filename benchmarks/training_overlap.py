"""What training's real source holds of the names and structures of test prompts, as a table.

`PYTHONPATH=. python benchmarks/training_overlap.py`: in half a minute, for the running Python's
standard library, which is the real source that the shipped models were trained on.
"""

import platform

from circuit_sparsity.training.overlap import Overlap, of_structures, of_words, training_files


def line(found: Overlap) -> str:
    return f"| {found.what} | {found.occur} of {found.of} | {found.files} |"


def main() -> None:
    files = training_files()
    print(f"{len(files)} training files of Python {platform.python_version()}'s standard library")
    print("\n| test prompts' | occur in training source | files that hold any |\n|---|---|---|")
    for found in of_words(files):
        print(line(found))
    print("\n| novel structures of | occur | files that hold any |\n|---|---|---|")
    for found in of_structures(files):
        print(line(found))


if __name__ == "__main__":
    main()

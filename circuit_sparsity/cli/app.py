"""``app``: open the explorer in a browser, wherever the package was installed.

What stands behind it goes to Streamlit: ``--server.port 8600``, ``--server.headless true``."""

import argparse
import runpy
import sys
from pathlib import Path

from circuit_sparsity.cli.answer import Answer, Say

PACKAGE = Path(__file__).resolve().parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(passed_on=())  # Streamlit's own options


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    """Serve until Ctrl-C: this process becomes Streamlit's."""
    sys.argv = ["streamlit", "run", str(app_file()), *arguments.passed_on]
    runpy.run_module("streamlit", run_name="__main__")
    return Answer({}, ())


def app_file() -> Path:
    """``app.py`` inside an installed package, or beside the package in a clone."""
    inside = PACKAGE / "app" / "app.py"
    return inside if inside.is_file() else PACKAGE.parent / "app.py"

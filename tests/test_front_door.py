"""`import circuit_sparsity`: what a notebook begins with, and the names that were shown once."""

import subprocess
import sys

import pytest

import circuit_sparsity


def test_the_front_door_imports_nothing_until_asked():
    code = "import circuit_sparsity, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "numba", "streamlit", "plotly"} & set(loaded.stdout.split())


@pytest.mark.parametrize("name", circuit_sparsity.__all__)
def test_every_name_of_the_front_door_is_there(name):
    assert getattr(circuit_sparsity, name).__doc__


def test_a_name_that_the_front_door_lacks_is_told_beside_those_it_has():
    with pytest.raises(AttributeError, match="has no 'open_model'; it has Circuit, Node"):
        circuit_sparsity.open_model  # noqa: B018


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("opening", "open_circuit"),
        ("labels", "read_labels"),
        ("recipes", "Recipe"),
        ("recipes.effects", "effects"),
    ],
)
def test_names_that_were_once_shown_still_import_with_a_note(old, name):
    code = f"from circuit_sparsity.{old} import {name}; print({name}.__module__)"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("circuit_sparsity.")
    assert f"circuit_sparsity.{old} is circuit_sparsity." in done.stderr

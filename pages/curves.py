"""Losses over sizes, over a search and over a training, as the files store them."""

from circuit_sparsity.ui.compare import curves
from circuit_sparsity.ui.shell import fetching, messages, pickers
from circuit_sparsity.ui.shell.page import page


def all_curves() -> None:
    model, choice = pickers.chosen_model(), pickers.chosen()
    if model is None:
        messages.no_circuits()
        return
    pickers.link_trouble()
    if choice is None:
        messages.no_circuits(model)
    elif fetching.circuit_is_here(choice):
        with messages.in_place():
            curves.sizes(choice)
            curves.search(choice)
    with messages.in_place():
        curves.training(model)


page("Curves", all_curves)

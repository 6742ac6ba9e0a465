"""Two circuits side by side, the sweeps of a task, and the models by loss and size of circuits."""

from circuit_sparsity.ui.compare import circuits, curves, models
from circuit_sparsity.ui.shell import fetching, messages, pickers
from circuit_sparsity.ui.shell.page import page


def compare() -> None:
    model, choice = pickers.chosen_model(), pickers.chosen()
    pickers.link_trouble()
    if choice is None:
        messages.no_circuits(model)
    elif fetching.circuit_is_here(choice):
        with messages.in_place():
            circuits.two_circuits(choice)
        with messages.in_place():
            curves.sweeps(choice)
    with messages.in_place():
        models.frontier()


page("Compare", compare)

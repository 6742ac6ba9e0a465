"""Under the graph: the picked node on the stored prompts and documents, on one scale."""

import shutil

import pytest

from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import last_tokens, read_viz
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K
from tests.ui.test_library_tokens_page import captions, strips


@pytest.fixture
def stored(cache):
    return read_viz(cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt")


@pytest.fixture
def node(stored):
    return stored.circuit.node_list[5]


@pytest.fixture
def app(open_app, node):
    return open_app(**QUERY, nodes=[str(node)])


def test_both_classes_of_a_pair_and_their_difference_are_the_files_values(app, stored, node):
    app.number_input(key="texts_pair").set_value(2).run()
    assert not app.exception
    samples, half = stored.task_samples, len(stored.task_samples.tokens) // 2
    ends = last_tokens(samples.tokens)
    one, two = (samples.activations[node][row, : ends[row] + 1].tolist() for row in (1, half + 1))
    shown = strips(app)
    assert shown[0] == pytest.approx(one, abs=1e-4)
    assert shown[1] == pytest.approx(two, abs=1e-4)
    apart = [a - b for a, b in zip(one, two, strict=False)]
    assert shown[2] == pytest.approx(apart, abs=2e-4)


def test_the_circuits_own_values_are_a_choice_away(app, stored, node):
    app.segmented_control(key="texts_run").set_value("Circuit alone").run()
    samples = stored.task_samples_circuit
    end = int(last_tokens(samples.tokens)[0]) + 1
    assert strips(app)[0] == pytest.approx(samples.activations[node][0, :end].tolist(), abs=1e-4)


def scale(app):
    return next(h.proto.body for h in app.get("html") if "solid underline" in h.proto.body)


def test_pairs_runs_and_differences_are_on_one_scale(app, stored, node):
    half, found = len(stored.task_samples.tokens) // 2, [0.0]
    ends = last_tokens(stored.task_samples.tokens)
    for samples in (stored.task_samples, stored.task_samples_circuit):
        of = [x[: end + 1] for x, end in zip(samples.activations[node], ends, strict=True)]
        for one, two in zip(of[:half], of[half:], strict=True):
            n = min(len(one), len(two))
            found += [float(x.abs().max()) for x in (one, two, one[:n] - two[:n])]
    assert f">{signed(max(found))}<" in scale(app)
    before = scale(app)
    app.number_input(key="texts_pair").set_value(3).run()
    app.segmented_control(key="texts_run").set_value("Circuit alone").run()
    assert scale(app) == before


def test_documents_of_all_quantiles_are_on_one_scale(app, stored, node):
    app.segmented_control(key="texts_source").set_value("Pretraining text").run()
    docs = [d for sides in stored.documents[node].values() for side in sides for d in side]
    largest = max(float(doc.activations.abs().max()) for doc in docs)
    assert f">{signed(largest)}<" in scale(app)
    app.segmented_control(key="token_quantile").set_value("50%").run()
    assert f">{signed(largest)}<" in scale(app)


def test_documents_stand_there_by_quantile(app, stored, node):
    app.segmented_control(key="texts_source").set_value("Pretraining text").run()
    app.segmented_control(key="token_quantile").set_value("10%").run()
    docs = stored.documents[node][0.1]
    for values, doc in zip(strips(app), (*docs.top, *docs.bottom), strict=True):
        assert values == pytest.approx(doc.activations.tolist(), abs=1e-4)


def test_it_needs_no_model(open_app, own_cache, node):
    shutil.rmtree(own_cache / "models" / MODEL)
    assert len(strips(open_app(**QUERY, nodes=[str(node)]))) == 3


def test_without_a_node_it_says_what_to_do(open_app):
    assert any("Click a node to see its activation" in text for text in captions(open_app(**QUERY)))

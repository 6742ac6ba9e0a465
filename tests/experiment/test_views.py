"""Named views: kept by name in the user's folder, apart from downloads; a bad file is named."""

import pytest

from circuit_sparsity.experiment.views import Views, change_views, read_views

QUERY = "nodes=0.mlp.post_act%3A0&fill=zero"


def test_a_view_is_saved_renamed_and_deleted(store, circuit):
    assert read_views(store, circuit) == Views()
    change_views(store, circuit, lambda views: views.named(" no \n neuron ", QUERY))
    assert dict(read_views(store, circuit).queries) == {"no neuron": QUERY}
    change_views(store, circuit, lambda views: views.renamed("no neuron", "<b>"))
    store.clear(own_results=True)
    assert dict(read_views(store, circuit).queries) == {"<b>": QUERY}
    change_views(store, circuit, lambda views: views.without("<b>"))
    assert read_views(store, circuit).queries == {}


def test_a_name_that_is_nothing_or_taken_is_refused(store, circuit):
    two = Views().named("one", "a=1").named("two", "a=2")
    with pytest.raises(ValueError, match="there is a view named 'two' already"):
        two.renamed("one", "two")
    with pytest.raises(ValueError, match="a view needs a name"):
        two.named("  ", "a=1")


def test_a_damaged_file_is_named(store, circuit):
    change_views(store, circuit, lambda views: views.named("one", "a=1"))
    (path,) = store.folder.rglob("views.json")
    path.write_text('{"one": 3}')
    with pytest.raises(ValueError, match=r"views\.json cannot be read: the view one holds 3"):
        read_views(store, circuit)

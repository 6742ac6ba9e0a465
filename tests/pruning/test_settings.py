"""Settings are closed and say what is wrong."""

import dataclasses

import pytest

from circuit_sparsity.pruning.settings import FAST, PRESETS, PUBLISHED, PruneSettings, preset


def test_the_published_preset_is_the_centre_of_the_published_search() -> None:
    assert (PUBLISHED.penalty, PUBLISHED.k_coef) == ("nodes", 1e-4)
    assert (PUBLISHED.init_scale, PUBLISHED.init_bias, PUBLISHED.temperature) == (1e-2, 1e-1, 1.0)
    assert (PUBLISHED.weight_decay, PUBLISHED.learning_rate) == (1e-3, 3e-3)
    assert (PUBLISHED.inv_beta2, PUBLISHED.warm_up, PUBLISHED.pairs) == (5e-2, 5e-2, 64)


def test_an_unknown_setting_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no pruning setting kcoef; there are: method, seed"):
        PruneSettings.from_dict({"kcoef": 1.0})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "magic"}, "method is 'magic'; expected one of masks, attribution"),
        ({"penalty": "edges"}, "penalty is 'edges'; expected one of nodes, log_nodes"),
        ({"temperature": 0.0}, "temperature is 0.0; expected more than 0"),
        ({"warm_up": 2.0}, "warm_up is 2.0; expected between 0 and 1"),
        ({"steps": -1}, "steps is -1; expected 0 or more"),
    ],
)
def test_a_wrong_value_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PruneSettings.from_dict(wrong)


def test_settings_survive_json_values() -> None:
    for settings in PRESETS.values():
        assert PruneSettings.from_dict(settings.to_dict()) == settings


def test_presets_are_known_whatever_the_seed() -> None:
    for name, settings in PRESETS.items():
        assert dataclasses.replace(settings, seed=5).preset == name
        assert preset(name) == settings
    assert dataclasses.replace(FAST, steps=17).preset not in PRESETS
    with pytest.raises(ValueError, match="no pruning preset 'slow'; there are: fast"):
        preset("slow")

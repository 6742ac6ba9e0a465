"""A recipe says what is changed and how, in text, in a link and in JSON alike."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from circuit_sparsity.circuits.recipe import MEAN, ZERO, Level, Recipe, Step
from circuit_sparsity.core.names import Node

NODES = ("0.attn.k:210", "1.mlp.post_act:3", "final_resid:9")
EDGE = "0.attn.act_in:22>0.attn.k:210"
numbers = some.floats(allow_nan=False, allow_infinity=False)
levels = some.one_of(
    some.just(MEAN),
    some.just(ZERO),
    some.builds(Level, some.sampled_from(["set", "scale"]), numbers),
)


@settings(deadline=None)
@given(some.lists(levels, min_size=4, max_size=4))
def test_text_and_json_give_the_same_recipe_back(four):
    names = (*NODES, EDGE)
    steps = [Step.parse(name) for name in names]
    recipe = Recipe(
        tuple(Step(s.source, s.target, level) for s, level in zip(steps, four, strict=True))
    )
    assert Recipe.parse(str(recipe).split()) == recipe
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_steps_are_written_as_people_write_assignments():
    recipe = Recipe.parse(
        ["0.attn.k:210", "final_resid:9=zero", f"{EDGE}*2", "1.mlp.post_act:3=-1.5"]
    )
    assert [step.level for step in recipe] == [MEAN, ZERO, Level("scale", 2.0), Level("set", -1.5)]
    assert recipe.steps[2].target == Node.parse("0.attn.k:210")
    assert str(recipe) == f"0.attn.k:210 final_resid:9=zero {EDGE}*2 1.mlp.post_act:3=-1.5"


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "0.attn.k:210=", "0.attn.k:210=much", "0.attn.k:210*zero", "0.attn.k:210*nan",
     "0.attn.k:210=inf", "0.attn.k:210>", "a>b", "0.attn.k:210=1=2"],
)  # fmt: skip
def test_what_is_no_step_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        Step.parse(text)


def test_a_part_has_one_step():
    with pytest.raises(ValueError, match=r"0\.attn\.k:210 more than once"):
        Recipe.parse(["0.attn.k:210", "0.attn.k:210=zero"])
    recipe = Recipe.parse(NODES).with_step(Step.parse("0.attn.k:210*3"))
    assert [str(step) for step in recipe] == ["0.attn.k:210*3", *NODES[1:]]


@pytest.mark.parametrize(
    "told",
    [{}, {"steps": "x"}, {"steps": [3]}, {"steps": [{"part": "0.attn.k:1", "how": "set"}]},
     {"steps": [{"part": "0.attn.k:1", "how": "halve"}]},
     {"steps": [{"part": "0.attn.k:1", "how": "set", "value": "1"}]},
     {"steps": [{"part": "0.attn.k:1", "how": "scale", "value": math.inf}]}],
)  # fmt: skip
def test_json_that_is_no_recipe_is_refused(told):
    with pytest.raises(ValueError, match=r"expected|list under"):
        Recipe.from_dict(told)

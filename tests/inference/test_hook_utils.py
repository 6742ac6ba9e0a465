"""The released hooks: what they record, change and differentiate, each thread for itself."""

import threading

import pytest
import torch

from circuit_sparsity.inference.gpt import GPT, GPTConfig, load_model
from circuit_sparsity.inference.hook_utils import (
    HookContext,
    get_context,
    hook_intervention_transform,
    hook_namespace,
    hook_recorder,
    hook_save,
    set_context,
    torch_recompute_preserving_hook_context,
)

TOKENS = torch.arange(6)[None]


@pytest.fixture
def model() -> GPT:
    model = GPT(GPTConfig(8, 16, 2, 2, 4, 8, d_mlp=16)).eval()
    model.initialise(seed=0)
    return model


def test_what_is_recorded_is_the_value_after_interventions(release_fixture):
    model = load_model(release_fixture / "models" / "csp_yolo1", cuda=False)
    doubled = {"1.mlp.post_act": lambda x: 2 * x}
    with hook_recorder("1.mlp") as plain:
        model(TOKENS)
    with hook_recorder("1.mlp", interventions=doubled) as changed:
        model(TOKENS)
    assert list(plain) == ["1.mlp.act_in", "1.mlp.post_act", "1.mlp.resid_delta"]
    torch.testing.assert_close(changed["1.mlp.post_act"], 2 * plain["1.mlp.post_act"])


def test_a_recorder_sees_nothing_of_another_thread(model):
    """The released hooks live in a module global, and there the plain pass is changed."""
    plain = model(TOKENS)[0]
    inside, finished = threading.Event(), threading.Event()
    seen = {}

    def intervene():
        with hook_recorder(interventions={"0.mlp.post_act": torch.zeros_like}):
            inside.set()
            finished.wait(10)
            seen["changed"] = model(TOKENS)[0]

    thread = threading.Thread(target=intervene)
    thread.start()
    inside.wait(10)
    seen["plain"] = model(TOKENS)[0]
    finished.set()
    thread.join()
    assert torch.equal(seen["plain"], plain)
    assert not torch.equal(seen["changed"], plain)


def test_a_context_can_be_carried_to_another_thread(model):
    def run(context: HookContext) -> None:
        set_context(context)
        model(TOKENS)

    with hook_recorder("final_resid") as recorded:
        thread = threading.Thread(target=run, args=(get_context(),))
        thread.start()
        thread.join()
    assert list(recorded) == ["final_resid"]
    assert get_context() == HookContext()


@pytest.mark.parametrize("is_frozen", [False, True])
def test_gradients_arrive_under_the_name_of_their_tensor(model, is_frozen):
    model.requires_grad_(not is_frozen)
    with hook_recorder(r"(0\.mlp\.post_act|final_resid)", save_grads=True) as recorded:
        logits = model(TOKENS)[0]
        logits.sum().backward()
    end = recorded["final_resid"].detach().requires_grad_()
    model.unembed(end, TOKENS).sum().backward()  # the same end of the model alone
    torch.testing.assert_close(recorded["final_resid.grad"], end.grad)
    assert recorded["0.mlp.post_act.grad"].shape == recorded["0.mlp.post_act"].shape
    with hook_recorder("final_resid") as recorded:
        model(TOKENS)[0].sum()
    assert list(recorded) == ["final_resid"]


def test_code_outside_a_model_adds_tensors_under_its_namespace(model):
    x = torch.ones(2)
    assert hook_save("mine", x) is x
    with hook_recorder(interventions={"head.mine": lambda x: 3 * x}) as recorded:
        with hook_namespace("head"):
            assert hook_save("mine", x).tolist() == [3.0, 3.0]
            model(TOKENS)
        hook_save("mine", x)
    assert [name for name in recorded if "mine" in name] == ["head.mine", "mine"]
    assert "head.final_resid" in recorded


def test_interventions_can_be_transformed(model):
    def only_the_first_layer(changes):
        return {name: change for name, change in changes.items() if name.startswith("0.")}

    changes = {"0.mlp.post_act": torch.zeros_like, "1.mlp.post_act": torch.zeros_like}
    with hook_intervention_transform(only_the_first_layer), hook_recorder(".*post", changes) as rec:
        model(TOKENS)
    assert not rec["0.mlp.post_act"].any()
    assert rec["1.mlp.post_act"].any()
    plain = model(TOKENS)[0]
    with hook_intervention_transform(lambda _: {"final_resid": torch.zeros_like}):
        assert not torch.equal(model(TOKENS)[0], plain)
    assert torch.equal(model(TOKENS)[0], plain)


def test_blocks_inside_one_another_each_record_and_change(model):
    with hook_recorder("final", {"final_resid": lambda x: x + 1}) as outer:
        with hook_recorder("final", {"final_resid": lambda x: 2 * x}) as inner:
            model(TOKENS)
        torch.testing.assert_close(inner["final_resid"], 2 * outer["final_resid"])


def test_what_is_recomputed_is_recorded_once_and_changed_twice():
    seen = []

    def f(x):
        seen.append(hook_save("inside", x * x))
        return seen[-1].sin()

    x = torch.tensor([0.5, 1.0], requires_grad=True)
    with hook_recorder(interventions={"inside": lambda y: 3 * y}) as recorded:
        torch_recompute_preserving_hook_context(f, x, use_reentrant=False).sum().backward()
    assert len(seen) == 2
    assert recorded["inside"] is seen[0]
    torch.testing.assert_close(seen[1], 3 * x.detach() ** 2)
    torch.testing.assert_close(x.grad, (3 * x.detach() ** 2).cos() * 6 * x.detach())

"""Code written for the release, as it stands there."""

import threading

import torch

from circuit_sparsity.inference.gpt import GPT, GPTConfig, load_model
from circuit_sparsity.inference.hook_utils import hook_recorder


def test_the_released_example_runs(release_fixture):
    model = load_model(str(release_fixture / "models" / "csp_yolo2"), cuda=False)
    tokens = torch.arange(20).reshape(2, 10)
    logits, loss, _ = model(tokens)
    assert logits.shape == (2, 10, 2048)
    assert float(loss) == 0.0
    with hook_recorder() as rec:
        model(tokens)
    assert rec["0.attn.act_in"].shape == (2, 10, 72)


def test_what_is_recorded_is_the_value_after_interventions(release_fixture):
    model = load_model(release_fixture / "models" / "csp_yolo1")
    tokens = torch.arange(10)[None]
    doubled = {"1.mlp.post_act": lambda x: 2 * x}
    with hook_recorder("1.mlp") as plain:
        model(tokens)
    with hook_recorder("1.mlp", interventions=doubled) as changed:
        model(tokens)
    assert list(plain) == ["1.mlp.act_in", "1.mlp.post_act", "1.mlp.resid_delta"]
    torch.testing.assert_close(changed["1.mlp.post_act"], 2 * plain["1.mlp.post_act"])


def test_the_loss_leaves_targets_of_minus_one_aside():
    torch.manual_seed(0)
    model = GPT(GPTConfig(8, 16, 1, 2, 4, 8, 16))
    model.initialise(seed=0)
    tokens = torch.arange(6)[None]
    targets = torch.tensor([[1, -1, 3, -1, 5, -1]])
    logits, loss, _ = model(tokens, targets)
    chances = logits.log_softmax(-1)[0]
    expected = -(chances[0, 1] + chances[2, 3] + chances[4, 5]) / 3
    torch.testing.assert_close(loss, expected)


def test_a_recorder_sees_nothing_of_another_thread():
    """The released hooks live in a module global, and there the plain pass is changed."""
    model = GPT(GPTConfig(8, 16, 2, 2, 4, 8, 16)).eval()
    model.initialise(seed=0)
    tokens = torch.arange(6)[None]
    plain = model(tokens)[0]
    inside, finished = threading.Event(), threading.Event()
    seen = {}

    def intervene():
        with hook_recorder(interventions={"0.mlp.post_act": torch.zeros_like}):
            inside.set()
            finished.wait(10)
            seen["changed"] = model(tokens)[0]

    thread = threading.Thread(target=intervene)
    thread.start()
    inside.wait(10)
    seen["plain"] = model(tokens)[0]
    finished.set()
    thread.join()
    assert torch.equal(seen["plain"], plain)
    assert not torch.equal(seen["changed"], plain)

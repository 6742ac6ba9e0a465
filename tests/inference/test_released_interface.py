"""Code written for the release, as it stands there."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import tiktoken
import torch

from circuit_sparsity import registries
from circuit_sparsity.experiment.opening import open_model
from circuit_sparsity.inference.gpt import GPT, GPTConfig, load_model
from circuit_sparsity.inference.hook_utils import hook_recorder
from circuit_sparsity.inference.kernels import sample_top_k
from circuit_sparsity.store import Store, StoreError
from tests.store.plain_server import PlainServer

ROOT = Path(__file__).parent.parent.parent
GOLDEN = sorted((ROOT / "tests" / "data" / "golden").glob("parity_*.pt"))


def small(**options: object) -> GPT:
    return GPT(GPTConfig(**{**SMALL, **options}))


SMALL = {
    **{"block_size": 8, "vocab_size": 16, "n_layer": 2, "n_head": 2, "d_model": 8},
    **{"dropout": 0.0, "flash": False, "grad_checkpointing": False},
}


def test_the_released_example_runs(release_fixture):
    model = load_model(str(release_fixture / "models" / "csp_yolo2"), cuda=False)
    tokens = torch.arange(20).reshape(2, 10)
    logits, loss, _ = model(tokens)
    assert logits.shape == (2, 10, 2048)
    assert (loss.shape, float(loss)) == ((1,), 0.0)
    with hook_recorder() as rec:
        model(tokens)
    assert rec["0.attn.act_in"].shape == (2, 10, 72)


def test_five_arguments_make_the_reference_s_small_model():
    model = GPT(GPTConfig(block_size=8, vocab_size=16, n_layer=1, n_head=1, d_model=8))
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    at = "transformer.h.0."
    assert shapes == {
        "final_logits_bias": (16,),
        "transformer.wte.weight": (16, 8),
        "transformer.wpe.weight": (8, 8),
        **{f"{at}{norm}.{part}": (8,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")},
        **{f"{at}attn.c_attn.weight": (24, 8), f"{at}attn.c_attn.bias": (24,)},
        **{f"{at}attn.c_proj.weight": (8, 8), f"{at}attn.c_proj.bias": (8,)},
        **{f"{at}mlp.c_fc.weight": (32, 8), f"{at}mlp.c_fc.bias": (32,)},
        **{f"{at}mlp.c_proj.weight": (8, 32), f"{at}mlp.c_proj.bias": (8,)},
        **{"transformer.ln_f.weight": (8,), "transformer.ln_f.bias": (8,)},
        "lm_head.weight": (16, 8),
    }
    assert model.lm_head.weight is model.transformer.wte.weight
    # 24·9 + 8·9 + 32·9 + 8·33 and two norms a layer; 16·8 tokens, one norm; 8·8 positions apart
    assert model.get_num_params() == 216 + 72 + 288 + 264 + 32 + 128 + 16
    assert model.get_num_params(non_embedding=False) == model.get_num_params() + 64


def test_defaults_are_the_reference_s():
    config = GPTConfig()
    assert (config.block_size, config.vocab_size, config.n_layer) == (1024, 50304, 12)
    assert (config.n_head, config.d_model, config.d_head, config.d_mlp) == (12, 768, 64, 3072)
    on = ("bias", "ln_bias", "tied_unembed", "grad_checkpointing", "flash")
    off = ("rms_norm", "sink", "enable_bigram_table", "debug_nans", "enable_sparse_kernels")
    assert all(getattr(config, name) is True for name in on)
    assert all(getattr(config, name) is False for name in off)
    assert config.afrac_loctypes == "attn_in,attn_out,mlp_in,mlp_out"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@torch.no_grad()
def test_a_reference_config_goes_in_as_it_is(path):
    golden = torch.load(path, weights_only=True)
    model = GPT(GPTConfig(**golden["config"])).eval()
    model.load_state_dict(golden["state_dict"])
    logits, loss, _ = model(golden["idx"], golden["targets"])
    torch.testing.assert_close(logits, golden["logits"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss, golden["loss"])


def test_logits_loss_and_block_inputs_have_the_reference_s_shapes():
    model = small()
    tokens = torch.randint(16, (3, 5))
    logits, loss, inputs = model(tokens, tokens)
    assert (logits.shape, loss.shape) == ((3, 5, 16), ())
    assert [x.shape for x in inputs] == [(3, 5, 8)] * 2
    halves = model(tokens, include_resid_mid=True)[2]
    assert len(halves) == 4
    with hook_recorder(r"\d\.resid_(in|mid)") as rec:
        model(tokens)
    for recorded, given in zip(rec.values(), halves, strict=True):
        assert torch.equal(recorded, given)


@pytest.mark.parametrize("options", [{}, {"d_pos_emb": 4, "sink": True}])
@torch.no_grad()
def test_the_tail_of_a_pass_gives_what_the_pass_gives(options):
    model = small(**options)
    tokens = torch.randint(16, (3, 5))
    logits, _, halves = model(tokens, include_resid_mid=True)
    for n, x in enumerate(halves):
        with hook_recorder() as rec:
            ours, _, rest = model.forward_tail(x, n, include_resid_mid=True)
        torch.testing.assert_close(ours, logits)
        assert len(rest) == 4 - n
        first = f"{n // 2}.resid_{'mid' if n % 2 else 'in'}"
        assert next(iter(rec)) == first
    torch.testing.assert_close(model.forward_tail(halves[2], 1)[0], logits)
    with pytest.raises(ValueError, match="n is 3; expected a block from 0 to 2"):
        model.forward_tail(halves[0], 3)


def test_the_loss_leaves_targets_of_minus_one_aside():
    model = GPT(GPTConfig(8, 16, 1, 2, 4, 8, d_mlp=16))
    model.initialise(seed=0)
    tokens = torch.arange(6)[None]
    targets = torch.tensor([[1, -1, 3, -1, 5, -1]])
    logits, loss, _ = model(tokens, targets)
    chances = logits.log_softmax(-1)[0]
    expected = -(chances[0, 1] + chances[2, 3] + chances[4, 5]) / 3
    torch.testing.assert_close(loss, expected)


def test_what_is_generated_follows_the_prompt_and_the_likeliest_token_needs_no_luck():
    model = small().eval()
    prompt = torch.randint(16, (2, 6))
    longer = model.generate(prompt, 5, top_k=1)  # beyond the context of 8
    assert longer.shape == (2, 11)
    assert torch.equal(longer[:, :6], prompt)
    for at in range(6, 11):
        seen = longer[:, max(0, at - 8) : at]
        assert torch.equal(model(seen)[0][:, -1].argmax(-1), longer[:, at])
    torch.manual_seed(0)
    first = model.generate(prompt, 5, temperature=2.0)
    torch.manual_seed(0)
    assert torch.equal(first, model.generate(prompt, 5, temperature=2.0))


def test_a_cropped_context_keeps_what_short_prompts_give():
    model = small().eval()
    tokens = torch.randint(16, (2, 4))
    before = model(tokens)[0]
    model.crop_block_size(4)
    assert torch.equal(model(tokens)[0], before)
    assert model.config.block_size == 4
    with pytest.raises(ValueError, match="has 5 tokens; the model's context is 4"):
        model(torch.zeros(1, 5, dtype=torch.long))
    with pytest.raises(ValueError, match="expected a length from 1 to 4"):
        model.crop_block_size(8)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_one_warning_and_the_model_runs(release_fixture):
    with pytest.warns(UserWarning, match="no CUDA device here: the model runs on the CPU") as seen:
        model = load_model(release_fixture / "models" / "dense1_1x")
    assert len(seen) == 1
    assert model.device.type == "cpu"


def test_a_loaded_model_can_be_trained_as_the_reference_s_can(release_fixture):
    model = load_model(release_fixture / "models" / "csp_yolo2", True, True, False)
    assert (model.config.flash, model.config.grad_checkpointing) == (True, True)
    tokens = torch.arange(20).reshape(2, 10)
    model(tokens, tokens)[1].backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "wpe" not in n)


@pytest.fixture
def served(release_fixture, tmp_path, monkeypatch):
    """The fixture's csp_yolo2 behind an address, and an empty cache."""
    names = [
        *(
            f"models/{model}/{file}"
            for model in ("csp_yolo2", "csp_bridges1")
            for file in ("beeg_config.json", "final_model.pt")
        ),
        *(f"tinypython/{file}" for file in ("vocab.bpe", "encoder.json")),
        "viz/csp_yolo2/bracket_counting_beeg/prune_v4/k_optim/viz_data.pt",
    ]
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "cache"))
    with PlainServer({name: (release_fixture / name).read_bytes() for name in names}) as server:
        monkeypatch.setenv("CIRCUIT_SPARSITY_URL", server.url)
        yield server


def test_an_address_is_fetched_once_and_is_the_folder(served, release_fixture):
    tokens = torch.arange(10)[None]
    model = load_model(f"{registries.MODEL_BASE_DIR}/models/csp_yolo2", cuda=False)
    local = load_model(release_fixture / "models" / "csp_yolo2", cuda=False)
    assert torch.equal(model(tokens)[0], local(tokens)[0])
    asked = len(served.asked)
    load_model(f"{served.url}/models/csp_yolo2", cuda=False)
    assert len(served.asked) == asked


def test_a_model_opens_by_the_name_that_the_releases_prose_gives_it(served):
    address = f"{registries.MODEL_BASE_DIR}/models/csp_bridge"
    tokens = torch.arange(10)[None]
    by_prose, by_folder = (load_model(f"{address}{end}", cuda=False) for end in ("1", "s1"))
    assert torch.equal(by_prose(tokens)[0], by_folder(tokens)[0])
    opened = open_model(Store.from_environment(), "csp_bridge1")
    assert opened.config.d_model == by_folder.config.d_model


def test_an_address_of_another_container_has_a_folder_of_its_own(served, monkeypatch):
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/nobody")
    model = load_model(f"{served.url}/models/csp_yolo2", cuda=False)
    assert model.config.n_layer == 3
    with pytest.raises(StoreError, match="ends in models/NAME"):
        load_model(f"{served.url}/models/csp_yolo2/more", cuda=False)
    with pytest.raises(StoreError, match="no address of the container's layout"):
        load_model(f"{served.url}/elsewhere", cuda=False)


def test_the_bracket_example_prints_its_two_logits(served, capsys):
    example = ROOT / "circuit_sparsity" / "examples" / "bracket_counting_example.py"
    runpy.run_path(str(example), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    (logits,) = (line for line in lines if line.startswith("logits of ]] and ]:"))
    double, single = map(float, logits.split(":")[1].split())
    assert lines[-1] == f"the likelier answer: {']]' if double > single else ']'}"


def test_the_tokenizer_s_arguments_make_the_encoding(served, release_fixture, monkeypatch):
    from circuit_sparsity.tiktoken_ext import tinypython

    encoding = tiktoken.Encoding(**tinypython.tinypython_2k())
    assert (encoding.n_vocab, encoding.eot_token) == (2048, 2047)
    assert encoding.decode(encoding.encode("def f(x):\n")) == "def f(x):\n"
    monkeypatch.setenv("TINYPYTHON_TOK_DIR", str(release_fixture / "tinypython"))
    assert tiktoken.get_encoding("tinypython_2k").encode("]]\n") == encoding.encode("]]\n")
    assert set(tinypython.ENCODING_CONSTRUCTORS) == {"tinypython_2k"}


def test_the_loss_of_a_pair_is_the_sum_over_its_prompts():
    pair = registries.Datapoint(torch.zeros(1, 3, dtype=torch.long))
    contrasted, plain = torch.zeros(3, 4), torch.zeros(3, 4)
    contrasted[-1] = torch.tensor([2.0, 1.0, 9.0, 9.0])
    plain[-1] = torch.tensor([1.0, 1.0, 9.0, 9.0])
    loss = registries.last_token_contrast_loss_fn(pair, (contrasted, plain), tokid=0, alt_tokid=1)
    expected = torch.tensor(1 + torch.e**-1).log() + torch.tensor(2.0).log()  # by hand
    torch.testing.assert_close(loss, expected)
    even = registries.last_token_contrast_loss_fn(pair, (torch.zeros(3, 4),) * 2, tokid=2)
    torch.testing.assert_close(even, -torch.tensor(1 / 4 * 3 / 4).log())


def test_a_task_is_shuffled_by_one_seed_and_cut_from_the_left():
    def points() -> list[registries.Datapoint]:
        return [registries.Datapoint(torch.tensor([[i, i + 1, i + 2]])) for i in range(9)]

    def starts(task: registries.Task) -> list[int]:
        return [int(x.inputs[0, 0]) for x in task.xs]

    encoding = tiktoken.Encoding("bytes", pat_str=".", mergeable_ranks={b"a": 0}, special_tokens={})
    one, other = (registries.Task(points(), [], torch.sum, encoding) for _ in range(2))
    assert starts(one) == starts(other) != list(range(9))
    assert len(one.limit(4).xs) == 4
    assert {x.inputs.shape for x in one.left_truncate_to_len(2).xs} == {(1, 2)}


def test_the_largest_draws_are_the_largest():
    torch.manual_seed(0)
    drawn = sample_top_k(n=1000, k=10, shape=(2, 5))
    torch.manual_seed(0)
    assert drawn.abs().min() >= torch.randn(1000).abs().sort().values[-10]
    assert drawn.shape == (2, 5)


def test_the_released_doors_lead_somewhere(tmp_path):
    environment = {"CIRCUIT_SPARSITY_CACHE": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "clear_cache.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"freed 0 B in {tmp_path}" in done.stdout

"""The stored task samples as prompts that can be run: where each ends, and its two answers."""

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.release.errors import ReleaseError
from circuit_sparsity.release.values import StoredCircuit
from circuit_sparsity.tasks.task import PADDING, TaskBatch


def task_batch(stored: StoredCircuit, answers: tuple[int, int]) -> TaskBatch:
    """The stored prompts with ``answers``: two token ids, right for class 1 and for class 2.

    The files do not hold the answers. Raises ReleaseError when the prompts do not form pairs or
    an answer is no token of the model.
    """
    tokens = stored.task_samples.tokens
    first, second = answers
    n_vocab = stored.config.vocab_size if stored.model_config else None
    for answer in answers:
        if answer < 0 or (n_vocab is not None and answer >= n_vocab):
            raise ReleaseError(
                f"the answer {answer} is no token of {stored.circuit.model}; "
                f"expected two ids from 0 to {'its last' if n_vocab is None else n_vocab - 1}"
            )
    if len(tokens) == 0 or len(tokens) % 2:
        raise ReleaseError(
            f"{stored.title} stores {len(tokens)} prompts; expected two halves of equal size: "
            "class 1, then class 2"
        )
    half = len(tokens) // 2
    right = torch.tensor([first] * half + [second] * half)
    wrong = torch.tensor([second] * half + [first] * half)
    return TaskBatch(tokens, last_tokens(tokens), right, wrong)


def last_tokens(tokens: Int[Tensor, "prompt pos"]) -> Int[Tensor, " prompt"]:
    """The index of each prompt's last token that is not padding.

    Token 0 pads and is also ``!``. Zeros inside a prompt are kept; zeros at its end are taken for
    padding, as the released viewer takes them, so a prompt that really ends in ``!`` is read one
    token short: the file does not tell the two apart. Raises ReleaseError when a prompt is all
    padding.
    """
    real = tokens != PADDING
    if tokens.shape[1] == 0 or not bool(real.any(dim=1).all()):
        raise ReleaseError("a stored prompt has no token but padding; expected at least one")
    return tokens.shape[1] - 1 - real.flip(1).int().argmax(dim=1)

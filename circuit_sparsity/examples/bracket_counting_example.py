"""``python circuit_sparsity/examples/bracket_counting_example.py``: csp_yolo2 counts brackets.

Prints its logits of ``]]`` and ``]`` after the first prompt stored with a circuit. Downloads 1.7 GB
the first time; ``CIRCUIT_SPARSITY_URL`` may name a mirror or a folder (``file://…``).
"""

import torch
from tiktoken import Encoding

from circuit_sparsity.inference.addresses import local_file
from circuit_sparsity.inference.gpt import load_model
from circuit_sparsity.registries import MODEL_BASE_DIR
from circuit_sparsity.release import last_tokens, read_viz
from circuit_sparsity.tiktoken_ext.tinypython import tinypython_2k

CIRCUIT = f"{MODEL_BASE_DIR}/viz/csp_yolo2/bracket_counting_beeg/prune_v4/k_optim/viz_data.pt"


def main() -> None:
    """Print the prompt, both logits and the likelier answer."""
    encoding = Encoding(**tinypython_2k())
    model = load_model(f"{MODEL_BASE_DIR}/models/csp_yolo2", flash=True, cuda=False)
    samples = read_viz(local_file(CIRCUIT)).task_samples
    first = samples.tokens[0, : int(last_tokens(samples.tokens)[0]) + 1]
    with torch.no_grad():
        logits = model(first[None])[0][0, -1]  # vocab
    answers = {text: float(logits[encoding.encode(f"{text}\n")[0]]) for text in ("]]", "]")}
    print(f"the first prompt:\n{encoding.decode(first.tolist())}")
    print("logits of ]] and ]:", *(f"{logit:.4f}" for logit in answers.values()))
    print("the likelier answer:", max(answers, key=lambda text: answers[text]))


if __name__ == "__main__":
    main()

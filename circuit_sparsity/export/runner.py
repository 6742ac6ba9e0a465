"""What an exported program does: from token ids to the logits of the answers, with numpy alone.

Its source is copied into every exported file, so it may know nothing of this project.
"""

import base64
import io
import math
import sys
from typing import Any

import numpy as np


class Program:
    """A circuit: the nodes that run, their weights, and the means of everything else."""

    def __init__(self, settings: dict[str, Any], nodes: dict[str, list[int]], data: str) -> None:
        self.settings, self.nodes = settings, nodes
        stored = np.load(io.BytesIO(base64.b64decode(data)), allow_pickle=False)
        self.arrays = {name: stored[name].astype(np.float64) for name in stored.files}
        where = stored["embedding.where"]  # one bit an entry: which of them are not zero
        width = len(self.arrays["final_resid.mean"])
        entries = np.zeros((len(where), width))
        entries[np.unpackbits(where, axis=1, count=width) == 1] = self.arrays["embedding"]
        self.arrays["embedding"] = entries  # token, channel

    def logits(self, tokens: list[int]) -> np.ndarray:
        """One logit for each answer, after the last of the tokens."""
        x = self.arrays["embedding"][tokens]
        positions = self.arrays["positions"][: len(tokens)]
        if not self.settings["positions_concatenated"]:
            x = x + positions
        for layer in range(self.settings["layers"]):
            for block, run in (("attn", self.attention), ("mlp", self.mlp)):
                at = f"{layer}.{block}"
                write = run(at, self.read(at, x, positions))
                x = x + self.filled(f"{at}.resid_delta", write)
                if self.settings["relu_on_residual"]:
                    x = np.maximum(x, 0)
                x = self.top_k(x, f"resid_post_{block}")
        end = self.filled("final_resid", x[-1:, self.nodes["final_resid"]])
        logits = self.norm("end", end) @ self.arrays["unembedding"].T
        return logits[0] + self.arrays["logit_bias"] + self.arrays["bigrams"][tokens[-1]]

    def read(self, at: str, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The channels that a block reads: all are normed and compete, the kept ones go on."""
        seen = self.norm(at, x)
        if self.settings["positions_concatenated"]:
            seen = np.concatenate((seen, self.norm(f"{at}.positions", positions)), axis=1)
        place = "attn_in" if at.endswith("attn") else "mlp_in"
        return self.top_k(seen, place)[:, self.nodes[f"{at}.act_in"]]

    def attention(self, at: str, read: np.ndarray) -> np.ndarray:
        q, k, v = (self.linear(f"{at}.{name}", read, f"attn_{name}") for name in "qkv")
        q, k = self.filled(f"{at}.q", q), self.filled(f"{at}.k", k)
        size, n = self.settings["head_size"], len(read)
        later = np.triu(np.full((n, n), -np.inf), 1)  # a token sees those before it and itself
        heads, of_values = self.arrays[f"{at}.heads"], np.array(self.nodes[f"{at}.v"]) // size
        mixed, awake = np.zeros_like(v), np.ones((n, len(heads)))
        for i, head in enumerate(heads.astype(int)):
            part = slice(head * size, (head + 1) * size)
            scores = q[:, part] @ k[:, part].T / math.sqrt(size) + later
            if self.settings["sink"]:  # a slot of value zero that every token sees
                slot = np.full((n, 1), self.arrays[f"{at}.sink"][i])
                scores = np.concatenate((slot, scores), axis=1)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            pattern = (weights / weights.sum(axis=1, keepdims=True))[:, -n:]
            mixed[:, of_values == head] = pattern @ v[:, of_values == head]
            awake[:, i] = pattern.sum(axis=1)  # what does not go to the sink
        # Values outside the circuit are constant: only the sink changes how much of them arrives.
        constant = awake @ self.arrays[f"{at}.constant_values"].T
        return self.linear(f"{at}.resid_delta", mixed, "attn_out", constant)

    def mlp(self, at: str, read: np.ndarray) -> np.ndarray:
        neurons = self.linear(f"{at}.post_act", read, "mlp_neuron", activate=True)
        return self.linear(f"{at}.resid_delta", neurons, "mlp_out")

    def linear(
        self,
        at: str,
        x: np.ndarray,
        place: str,
        more: np.ndarray | float = 0.0,
        activate: bool = False,
    ) -> np.ndarray:
        """The kept channels behind a linear map; under a top-k the others are there to compete."""
        out = x @ self.arrays[f"{at}.weight"].T + self.arrays[f"{at}.constant"] + more
        if activate:
            out = gelu(out) if self.settings["activation"] == "gelu" else np.maximum(out, 0)
        if place not in self.settings["top_k"]:
            return out
        return self.top_k(out, place)[:, self.nodes[at]]

    def filled(self, at: str, kept: np.ndarray) -> np.ndarray:
        """All channels of a place: the kept ones as they are, the others at their means."""
        everything = np.tile(self.arrays[f"{at}.mean"], (len(kept), 1))
        everything[:, self.nodes[at]] = kept
        return everything

    def norm(self, at: str, x: np.ndarray) -> np.ndarray:
        if self.settings["layer_norm"]:
            x = x - x.mean(axis=1, keepdims=True)
        size = np.sqrt((x * x).mean(axis=1, keepdims=True) + self.settings["epsilon"])
        return x / size * self.arrays[f"{at}.gain"] + self.arrays.get(f"{at}.bias", 0.0)

    def top_k(self, x: np.ndarray, place: str) -> np.ndarray:
        """The k entries of each row that are furthest from zero; zeros elsewhere."""
        if place not in self.settings["top_k"]:
            return x
        k = self.settings["top_k"][place]
        kept = np.zeros_like(x)
        best = np.argsort(-np.abs(x), axis=1, kind="stable")[:, :k]
        np.put_along_axis(kept, best, np.take_along_axis(x, best, axis=1), axis=1)
        return kept


def gelu(x: np.ndarray) -> np.ndarray:
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def main(
    program: Program,
    answers: list[tuple[int, str]],
    examples: list[tuple[list[int], list[float]]],
    arguments: list[str],
) -> int:
    """Print the answers' logits after the given ids, or try the examples when none are given."""
    if arguments:
        longest, vocabulary = program.settings["context"], len(program.arrays["embedding"])
        ids = [int(text) if text.isdecimal() else -1 for text in arguments]
        if not all(0 <= token < vocabulary for token in ids) or len(ids) > longest:
            sys.stderr.write(f"expected 1 to {longest} token ids from 0 to {vocabulary - 1}\n")
            return 2
        for (token, text), logit in zip(answers, program.logits(ids), strict=True):
            sys.stdout.write(f"{logit:.6f}\ttoken {token}\t{text!r}\n")
        return 0
    apart = 0.0
    for tokens, expected in examples:
        found = program.logits(tokens)
        apart = max(apart, float(np.abs(found - expected).max()))
        said = ", ".join(f"{text!r} {x:.4f}" for (_, text), x in zip(answers, found, strict=True))
        sys.stdout.write(f"{' '.join(map(str, tokens))}\n    {said}\n")
    sys.stdout.write(f"furthest from what was exported: {apart:.1e}\n")
    return int(apart > 1e-4)

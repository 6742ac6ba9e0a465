"""The released ``hook_recorder``: record and change named tensors of every forward pass inside.

Unlike the released one it is local to its thread: a pass in another thread sees nothing of it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from circuit_sparsity.core.hooks import Recorder, ambient, ambient_hook, chain, replace


@contextmanager
def hook_recorder(
    regex: str | None = None,
    interventions: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """A dict that fills with ``{name: tensor}`` as models run inside the block.

    ``regex`` is ``re.match``ed on the full name; ``interventions`` map a name to a function of its
    tensor; what is recorded is the value after them. Blocks may be nested.
    """
    recorder = Recorder(regex)
    hook = chain(ambient_hook(), replace(interventions or {}), recorder)
    with ambient(hook):
        yield recorder.tensors

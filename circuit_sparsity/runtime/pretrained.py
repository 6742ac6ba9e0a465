"""Models of the Hugging Face Hub: opened as they lie there, or taken into the user's folder.

No code of the repository is run. ``openai/circuit-sparsity`` is csp_yolo2.
"""

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file

from circuit_sparsity.core.checkpoint import (
    COMPACT_FILE,
    CONFIG_FILE,
    config_file,
    find_weights,
    fitting,
    pack,
    read_config,
    read_weights,
)
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import ENCODER_FILE, VOCAB_FILE
from circuit_sparsity.runtime.assemble import Engine, load_model
from circuit_sparsity.store import Store, hub, paths, write_atomically


def from_pretrained(
    name: str | Path, revision: str | None = None, cuda: bool = False, engine: Engine = "auto"
) -> GPT:
    """The model of a repository such as ``openai/circuit-sparsity``, or in a folder.

    A repository is downloaded once, by ``huggingface_hub`` (``pip install circuit-sparsity[hub]``)
    into its cache; ``revision`` is a branch, a tag or a commit. ``cuda`` and ``engine`` mean what
    they mean to ``load_model``. Raises StoreError where the repository cannot be had, and
    CheckpointError where it holds no model that can be opened.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = hub.snapshot(str(name).removeprefix(hub.SCHEME), revision)
    return load_model(folder, cuda=cuda, engine=engine)


def adopt(store: Store, repository: str, revision: str | None, name: str, quiet: bool) -> Path:
    """The folder ``models/<name>`` of the user's, with a repository's model in compact form.

    Its vocabulary comes with it where it is in the release's two files. The configuration is
    written last: where it is, the rest is. Raises what ``from_pretrained`` raises.
    """
    folder = paths.inside(store.folder, paths.model_file(name, paths.CONFIG)).parent
    source = hub.snapshot(repository, revision, quiet)
    config = read_config(config_file(source))
    found = find_weights(source)
    weights = dict(fitting(config, read_weights(found), str(found)))
    if config.tied_unembed:  # stored once
        del weights["lm_head.weight"]
    packed = pack(weights)
    write_atomically(folder / COMPACT_FILE, lambda file: save_file(packed, file.name), summed=True)
    vocabulary = [source / file for file in (VOCAB_FILE, ENCODER_FILE)]
    for file in vocabulary if all(path.is_file() for path in vocabulary) else ():
        shutil.copyfile(file, folder / file.name)
    text = json.dumps(config.to_dict(), indent=1).encode()
    write_atomically(folder / CONFIG_FILE, lambda file: file.write(text), summed=True)
    return folder

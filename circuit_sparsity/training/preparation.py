"""What a run needs before its first step: a tokenizer and a corpus, made once per run folder."""

from pathlib import Path

from circuit_sparsity.tokenizer import Tokenizer, load_tokenizer
from circuit_sparsity.training.bpe import train_bpe, write_bpe
from circuit_sparsity.training.corpus import Corpus, build_corpus, tokenizer_documents
from circuit_sparsity.training.settings import TrainSettings


def prepare(settings: TrainSettings, folder: Path) -> tuple[Tokenizer, Corpus]:
    """The tokenizer and corpus of a run, read from ``folder`` when they were made there before.

    Raises ValueError when the model's vocabulary is not the tokenizer's.
    """
    place = tokenizer_folder(settings, folder)
    if place.parent == folder and not (place / "encoder.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        write_bpe(train_bpe(tokenizer_documents(settings.corpus)), place)
    tokenizer = load_tokenizer(place)
    if tokenizer.n_vocab != settings.model.vocab_size:
        raise ValueError(
            f"the tokenizer in {place} has {tokenizer.n_vocab} tokens, the model's vocab_size is "
            f"{settings.model.vocab_size}; make them equal"
        )
    return tokenizer, build_corpus(settings.corpus, tokenizer, folder / "corpus")


def tokenizer_folder(settings: TrainSettings, folder: Path) -> Path:
    """Where a run's tokenizer lies: in its own folder, or in that of the run it is taken from."""
    other = settings.tokenizer_of or settings.start_from
    return (folder if other is None else folder.parent / other) / "tokenizer"

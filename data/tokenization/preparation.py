"""From a recipe's data plan to a tokenizer and token shards on disk, once; a second run finds them and reads on."""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ...common.files import write_json
from ...languages.mixture import LanguageMixture
from ...modeling.tokenization_mmbert import build_tokenizer, save_tokenizer, train_tokenizer
from ...recipes import Recipe
from ..corpora.base import Corpus
from ..shards import TokenShards, write_shards
from .folder import check_tokenized, tokenized_folder

logger = logging.getLogger(__name__)

_PLAN = "plan.json"
_UNFINISHED = "preparing"  # stands here from the first byte to the last: only such a folder is ever cleared
# How flat the vocabulary's training text is over languages; 0.5 lies in the middle of the recipe's 0.7 to 0.3.
_TOKENIZER_TEMPERATURE = 0.5
_TOKENIZER_CHARACTERS = 6_000_000


@dataclass(frozen=True)
class PreparedData:
    """What training reads.

    Attributes:
        tokenizer: The tokenizer, in the mmBERT layout.
        train: Shards to train on.
        heldout: Shards that training never sees.
    """

    tokenizer: PreTrainedTokenizerFast
    train: TokenShards
    heldout: TokenShards


def open_planned_corpus(recipe: Recipe) -> Corpus:
    """Open the corpus of a recipe, in the languages that some phase reads.

    Args:
        recipe: The plan.

    Returns:
        The corpus.

    Raises:
        ValueError: If the plan names no corpus, or an option that the corpus does not know.
    """
    plan, options = recipe.data, {"languages": recipe.languages, **recipe.data.options}
    if plan.corpus is None and plan.sources:
        raise ValueError(
            f"recipe {recipe.name!r} lists {len(plan.sources)} data sets and no corpus of yours: turn those you need "
            f"into token shards with `mmbert tokenize` and train on them; `mmbert recipe {recipe.name}` lists them."
        )
    if plan.corpus is None:
        raise ValueError("data.corpus is missing: write `catalogues`, a file, a folder or a Hub dataset id.")
    from ..corpora.demo import CatalogueCorpus
    from ..corpora.open import open_corpus

    opener: Callable[..., Corpus] = (
        CatalogueCorpus if plan.corpus == "catalogues" else partial(open_corpus, plan.corpus)
    )
    unknown = sorted(set(options) - set(signature(opener).parameters))
    if unknown:
        raise ValueError(
            f"data.{unknown[0]}: unknown key; this corpus knows {', '.join(signature(opener).parameters)}."
        )
    return opener(**options)


def planned_languages(recipe: Recipe) -> list[str]:
    """Return the languages that the corpus of a recipe has, of those that some phase reads.

    Args:
        recipe: The plan.

    Returns:
        Language tags.
    """
    folder = tokenized_folder(recipe.data)
    if folder is None:
        return list(open_planned_corpus(recipe).languages())
    wanted = recipe.languages
    found = TokenShards(folder / "train", verify=False).languages
    return [tag for tag in found if wanted is None or tag in wanted]


def prepare(recipe: Recipe, directory: Path) -> PreparedData:
    """Make, or find, the tokenizer and the shards of a recipe; a corpus that `mmbert tokenize` wrote is read in place.

    Args:
        recipe: The plan.
        directory: Where they lie: `tokenizer/`, `train/`, `heldout/`.

    Returns:
        The data, opened and checked against its checksums.

    Raises:
        ValueError: If the directory was prepared for another data plan, or holds files of something else; or if the
            plan asks of a tokenized corpus what it cannot give.
    """
    if (folder := tokenized_folder(recipe.data)) is not None:
        data = _open(folder)
        check_tokenized(recipe.data, folder, data.tokenizer, data.train)
        return data
    plan = json.loads(json.dumps({**recipe.to_dict()["data"], "languages": recipe.languages}))
    written = directory / _PLAN
    if written.is_file() and _read_plan(written) != plan:
        raise ValueError(f"{directory} holds the data of another plan; remove it or choose another output directory.")
    if not written.is_file():
        _claim(directory)
        _write(recipe, directory)
        write_json(written, plan, indent=1)
        (directory / _UNFINISHED).unlink()
    return _open(directory)


def _open(directory: Path) -> PreparedData:
    """Open a tokenizer and both sides; of several ranks only the first compares checksums."""
    verify = os.environ.get("RANK", "0") == "0"  # set by torchrun and accelerate
    tokenizer: Any = AutoTokenizer.from_pretrained(directory / "tokenizer")
    train, heldout = (TokenShards(directory / split, verify=verify) for split in ("train", "heldout"))
    return PreparedData(tokenizer, train, heldout)


def _read_plan(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove {path.parent} and prepare the data again.") from None


def _claim(directory: Path) -> None:
    """Take an empty folder, or one that an interrupted preparation had taken; refuse to touch anything else."""
    marker = directory / _UNFINISHED
    left = sorted(directory.iterdir()) if directory.is_dir() else []
    if left and not marker.is_file():
        names = ", ".join(path.name for path in left[:3])
        raise ValueError(f"{directory} holds other files ({names}); choose an empty directory.")
    directory.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != marker:
            path.unlink()


def _write(recipe: Recipe, directory: Path) -> None:
    plan = recipe.data
    corpus = open_planned_corpus(recipe)
    began = time.monotonic()
    if plan.tokenizer is None:
        tokenizer = train_tokenizer(balanced_texts(corpus), plan.vocabulary_size)
        logger.info("trained a vocabulary of %s words in %.0f s", f"{len(tokenizer):,}", time.monotonic() - began)
    else:
        tokenizer = build_tokenizer(plan.tokenizer)
    save_tokenizer(tokenizer, directory / "tokenizer")
    for split in ("train", "heldout"):
        shards = write_shards(
            corpus.documents(split),  # type: ignore[arg-type]
            tokenizer,
            directory / split,
            sources=corpus.sources(),
            skipped=corpus.skipped,
        )
        total = sum(shards.token_counts.values())
        logger.info("%s: %s tokens in %d languages", split, f"{total:,}", len(shards.languages))


def balanced_texts(corpus: Corpus, characters: int = _TOKENIZER_CHARACTERS) -> Iterator[str]:
    """Yield training text for a vocabulary, small languages lifted by the sampling temperature.

    Args:
        corpus: Where the text is.
        characters: About how many characters to yield.

    Yields:
        Texts of every language, each language's amount ~ (its size)**0.5, none more than once.
    """
    sizes: dict[str, int] = {}
    for document in corpus.documents("train"):
        sizes[document.language] = sizes.get(document.language, 0) + len(document.text)
    left = _budgets(sizes, characters)
    for document in corpus.documents("train"):
        if left[document.language] > 0:
            left[document.language] -= len(document.text)
            yield document.text


def _budgets(sizes: Mapping[str, int], characters: int) -> dict[str, float]:
    shares = LanguageMixture(sizes, _TOKENIZER_TEMPERATURE).probabilities()
    return {language: share * characters for language, share in shares.items()}

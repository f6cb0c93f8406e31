"""From a recipe's data plan to a tokenizer and token shards, once; a second run finds them and reads on.

A corpus is tokenized by the same pipeline as `mmbert tokenize` uses; a folder that this command made is read in place,
with the tokenizer that made it. A recipe that `extends` an official one inherits `data.tokenizer` and cannot be rid of
it by naming another corpus. So the key may stay where it does no harm: what it names is compared with the tokenizer of
the folder where it can be had. The id of an official recipe is not fetched for that: it says where the release's
vocabulary is, not what is in the folder.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ...common.checkpoints.integrity import one_line_errors
from ...common.files import read_json
from ...common.messages import speaking
from ...common.progress import duration
from ...languages.mixture import LanguageMixture
from ...modeling.tokenization_mmbert import build_tokenizer, tokenizer_fingerprint, train_tokenizer
from ...recipes import DataPlan, Recipe
from ..corpora.base import Corpus
from ..corpora.demo import CatalogueCorpus
from ..corpora.open import open_corpus
from ..corpora.rows import ReadOptions, RowCorpus
from ..shards import TokenShards
from .pipeline import row_source_of, tokenize_sources
from .workdir import PLAN, WorkFolder, read_plan
from .writer import ShardOptions

logger = logging.getLogger(__name__)

_OLD_MARKER = "preparing"  # in a folder that 0.1 had begun to write and not finished
_OFFICIAL = ("jhu-clsp/mmBERT-base", "jhu-clsp/mmBERT-small")  # data.tokenizer of the official recipes
# How flat the vocabulary's training text is over languages; 0.5 lies in the middle of the recipe's 0.7 to 0.3.
_TOKENIZER_TEMPERATURE = 0.5
_TOKENIZER_CHARACTERS = 6_000_000


@dataclass(frozen=True)
class PreparedData:
    """What training reads."""

    tokenizer: PreTrainedTokenizerFast  # the tokenizer, in the mmBERT layout
    train: TokenShards  # shards to train on
    heldout: TokenShards  # shards that training never sees


@speaking("recipe")
def prepare(recipe: Recipe, directory: Path, *, processes: int = 1) -> PreparedData:
    """Make, or find, the tokenizer and the shards of a recipe; a corpus that `mmbert tokenize` wrote is read in place.

    Args:
        recipe: The plan.
        directory: Where they are: `tokenizer/`, `train/`, `heldout/`.
        processes: Processes that tokenize.

    Returns:
        The data, opened and checked against its checksums.

    Raises:
        ValueError: If the directory was prepared for another data plan, or holds files of something else; or if the
            plan asks of a tokenized corpus what it cannot give.
    """
    if (folder := tokenized_folder(recipe.data)) is not None:
        data = _open(folder)
        _check_tokenized(recipe.data, folder, data)
        return data
    plan = json.loads(json.dumps({**recipe.to_dict()["data"], "languages": recipe.languages}))
    if (directory / PLAN).is_file():
        if _read_prepared(directory) != plan:
            raise ValueError(
                f"{directory} holds the data of another plan; remove it or choose another output directory."
            )
    else:
        _clear_unfinished(directory)
        _tokenize(recipe, directory, plan, processes)
    return _open(directory)


def _read_prepared(directory: Path) -> dict[str, Any]:
    try:
        return read_json(directory / PLAN)
    except ValueError as error:
        raise ValueError(f"{error}; remove {directory} to prepare the data again.") from None


def _clear_unfinished(directory: Path) -> None:
    """Remove what 0.1 had not finished; refuse to touch anything else."""
    left = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    if _OLD_MARKER in left:
        shutil.rmtree(directory)
    elif left:
        raise ValueError(f"{directory} holds other files ({', '.join(left[:3])}); choose an empty directory.")


def _tokenize(recipe: Recipe, directory: Path, plan: dict[str, Any], processes: int) -> None:
    corpus = open_planned_corpus(recipe)
    source = row_source_of(corpus)
    if isinstance(corpus, RowCorpus):
        options = corpus.options
    else:
        options = ReadOptions(extra_languages=tuple(corpus.languages()))
    tokenizer = _planned_tokenizer(recipe.data, corpus, WorkFolder(directory), plan)
    given = {"options": options, "shard_options": ShardOptions(), "processes": processes, "data": plan}
    shards = tokenize_sources([source], directory, tokenizer, **given)  # type: ignore[arg-type]
    for split, found in shards.items():
        total = sum(found.token_counts.values())
        logger.info("%s: %s tokens in %d languages", split, f"{total:,}", len(found.languages))


def _planned_tokenizer(plan: DataPlan, corpus: Corpus, folder: WorkFolder, data: dict[str, Any]) -> Any:
    """The tokenizer that the plan names; else the one that an interrupted start has trained, else a new one."""
    if plan.tokenizer is not None:
        return build_tokenizer(plan.tokenizer)
    if folder.tokenizer.is_dir() and read_plan(folder.path).get("data") == data:
        with one_line_errors(folder.tokenizer):
            return AutoTokenizer.from_pretrained(folder.tokenizer)
    began = time.monotonic()
    tokenizer = train_tokenizer(balanced_texts(corpus), plan.vocabulary_size)
    logger.info("trained a vocabulary of %s tokens in %s", f"{len(tokenizer):,}", duration(time.monotonic() - began))
    return tokenizer


def _open(directory: Path) -> PreparedData:
    """Open a tokenizer and both splits; of several ranks only the first compares checksums."""
    verify = os.environ.get("RANK", "0") == "0"  # set by torchrun and accelerate
    for name in ("heldout/index.json", "tokenizer/tokenizer.json"):
        if not (directory / name).is_file():
            raise ValueError(
                f"{directory} has no {name}: none of its documents is held out; give more documents, or make it again "
                "with more held-out text: `heldout_fraction` in the `data` section of a recipe, --heldout-fraction of "
                "`mmbert tokenize`."
            )
    with one_line_errors(directory / "tokenizer"):
        tokenizer: Any = AutoTokenizer.from_pretrained(directory / "tokenizer")
    train, heldout = (TokenShards(directory / split, verify=verify) for split in ("train", "heldout"))
    return PreparedData(tokenizer, train, heldout)


@speaking("recipe")
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
    opener: Callable[..., Corpus] = (
        CatalogueCorpus if plan.corpus == "catalogues" else partial(open_corpus, plan.corpus)
    )
    unknown = sorted(set(options) - set(signature(opener).parameters))
    if unknown:
        raise ValueError(
            f"data.{unknown[0]}: unknown key; this corpus knows {', '.join(signature(opener).parameters)}."
        )
    return opener(**options)


@speaking("recipe")
def planned_languages(recipe: Recipe) -> list[str]:
    """Return the languages that the corpus of a recipe has, of those that some phase reads."""
    folder = tokenized_folder(recipe.data)
    if folder is None:
        return list(open_planned_corpus(recipe).languages())
    wanted = recipe.languages
    found = TokenShards(folder / "train", verify=False).languages
    return [tag for tag in found if wanted is None or tag in wanted]


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
    if not sizes:
        raise ValueError(
            "the corpus holds no text to train on: it is empty, or held out as a whole; give more documents."
        )
    shares = LanguageMixture(sizes, _TOKENIZER_TEMPERATURE).probabilities()
    left = {language: share * characters for language, share in shares.items()}
    for document in corpus.documents("train"):
        if left[document.language] > 0:
            left[document.language] -= len(document.text)
            yield document.text
            if max(left.values()) <= 0:  # the rest of a large corpus need not be read
                return


def tokenized_folder(plan: DataPlan) -> Path | None:
    """Return the corpus of a plan if it is a folder that `mmbert tokenize` made.

    Args:
        plan: What a recipe reads.

    Returns:
        The folder, with `tokenizer/`, `train/` and `heldout/`; None if the corpus is anything else.
    """
    folder = Path(plan.corpus or "")
    return folder if plan.corpus and (folder / "train" / "index.json").is_file() else None


def _check_tokenized(plan: DataPlan, folder: Path, data: PreparedData) -> None:
    """Refuse what a plan asks of a tokenized folder and cannot get; `data.sources` is information and may stay."""
    if plan.options:
        raise ValueError(f"data.{next(iter(plan.options))} cannot change {folder}, which is tokenized; remove the key.")
    if plan.vocabulary_size not in (DataPlan().vocabulary_size, len(data.tokenizer)):
        raise ValueError(
            f"data.vocabulary_size is {plan.vocabulary_size}, but {folder} is tokenized with {len(data.tokenizer)} "
            "tokens; remove the key."
        )
    if plan.tokenizer is not None:
        _check_tokenizer(plan.tokenizer, folder, data)


def _check_tokenizer(name: str, folder: Path, data: PreparedData) -> None:
    own, hub_id = folder / "tokenizer", not Path(name).exists() and len(Path(name).parts) <= 2
    if hub_id and name in _OFFICIAL:
        logger.info("data.tokenizer %s is not fetched: %s is tokenized, and its own is used, %s", name, folder, own)
        return
    try:
        named = build_tokenizer(name)
    except OSError as error:
        if not hub_id:
            raise
        logger.info("data.tokenizer %s is not compared (%s): %s, with its own tokenizer, is used", name, error, folder)
        return
    if tokenizer_fingerprint(named) != data.train.tokenizer_fingerprint:
        raise ValueError(
            f"data.tokenizer {name} ({len(named)} tokens) is not {own} ({len(data.tokenizer)} tokens), which {folder} "
            "is tokenized with; remove the key, or tokenize the corpus again."
        )

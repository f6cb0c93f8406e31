"""Finds out what is at a place and opens it as a source of shard tasks."""

from pathlib import Path

from ..corpora.files import FileCorpus
from ..corpora.open import open_with
from ..corpora.rows import ReadOptions
from .mds_source import MdsFeed
from .shard_source import ShardsFeed
from .source import Feed, FileFeed, HubFeed


def open_feed(
    location: str, options: ReadOptions, *, vocabulary: int, revision: str | None = None, hub_split: str = "train"
) -> Feed:
    """Find out what stands at a place, and open it.

    Args:
        location: File, folder, Hub dataset id, or an address such as `hf://datasets/OWNER/NAME` of MDS folders.
        options: How rows are read.
        vocabulary: Number of token ids, for sources that hold ids.
        revision: Branch, tag or commit of a Hub dataset.
        hub_split: Split of a Hub dataset.

    Returns:
        The feed.
    """
    path = Path(location)
    if "://" not in location and ShardsFeed.fits(path):
        return ShardsFeed(path, options, vocabulary)
    if "://" in location or (path.is_dir() and _holds_mds(path)):
        return MdsFeed(location, options, vocabulary)
    corpus = open_with(location, options, revision=revision, hub_split=hub_split)
    return FileFeed(corpus) if isinstance(corpus, FileCorpus) else HubFeed(corpus)  # type: ignore[arg-type]


def _holds_mds(folder: Path) -> bool:
    """Tell by the first index.json whether MDS folders lie below; a website's index.json is no reason to think so."""
    index = next(folder.rglob("index.json"), None)
    return index is not None and b'"shards"' in index.read_bytes()

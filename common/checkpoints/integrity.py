"""What is checked of a folder before anything is read from it: no pickle, plain names, whole files, known bytes.

Every folder that this package writes holds `SHA256SUMS`, the list of coreutils (`sha256sum -c SHA256SUMS` checks it
without us), with the size of each file in a comment. Readers compare it: sizes first, then bytes, once per process.
Papers (README, licences, pictures) are left out of it, because people edit them. A folder from elsewhere has no list;
it is read, and that is said once. Trade-off: a gigabyte costs about a second; `--no-verify` or MMBERT_VERIFY=0
compares nothing.
"""

import logging
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import inside, known_sha256, read_json, read_list, sha256, write_text
from .format import CHECKSUMS, INDEX, PICKLES, SINGLE, find_shards, read_header, refuse_pickle

logger = logging.getLogger(__name__)

_PAPERS = {".md", ".png", ".svg", ".txt", ".log"}
_UNLISTED = {"pictures", "runs"}  # runs: TensorBoard's files, which grow after all else is written
_TEXTS = {"vocab.txt", "merges.txt", "kept_ids.txt"}  # .txt, and no papers
_PICKLED_WEIGHTS = re.compile(r"(pytorch_model.*|adapter_model|model)\.(bin|pt|pth|ckpt)|.*\.bin\.index\.json")
_PICKLED_STATE = re.compile(r"(optimizer|scheduler|scaler|rng_state\w*)\.(bin|pt|pth)")
_SETTINGS = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "adapter_config.json",
             "config_sentence_transformers.json", "sentence_bert_config.json")  # fmt: skip
_TOKENIZER = "tokenizer.json"
_told: set[str] = set()


def write_checksums(directory: Path) -> None:
    """Write `SHA256SUMS` over every file of a folder and of the folders in it, papers and hidden files left out.

    Args:
        directory: The folder, complete.
    """
    names = [path.relative_to(directory).as_posix() for path in _listed(directory)]
    if not names:
        return
    lines = [f"{sha256(directory / name)}  {name}\n" for name in names]
    sizes = [f"# {(directory / name).stat().st_size} {name}\n" for name in names]
    write_text(directory / CHECKSUMS, "".join([*sizes, *lines]))


def verify_checksums(directory: Path, needed: Collection[str] = ()) -> bool:
    """Compare a folder with its `SHA256SUMS`, if it has one.

    Args:
        directory: The folder.
        needed: Files that the list must hold.

    Returns:
        True if the files were compared and agree, False if there is nothing to compare with.

    Raises:
        ValueError: If the list is damaged, or a listed file is missing or another one; the message names it.
    """
    if not (directory / CHECKSUMS).is_file():
        if str(directory) not in _told:
            _told.add(str(directory))
            logger.info("%s has no %s: its bytes are not checked", directory, CHECKSUMS)
        return False
    if os.environ.get("MMBERT_VERIFY") == "0":
        return False
    digests, sizes = _read_checksums(directory)
    if unknown := sorted(set(needed) - set(digests)):
        raise ValueError(f"{directory / unknown[0]} is not in {CHECKSUMS}; {_remedy('restore it')}")
    snapshot = directory.parent.name == "snapshots"  # of the Hub's cache: links, to what was asked for
    for name, digest in digests.items():
        path = directory / name if snapshot else inside(directory, name, directory / CHECKSUMS)
        if path.is_file():
            _compare(path, digest, sizes.get(name))
        elif not snapshot and path.suffix != ".py":  # the network's code may be left out where it is not wanted
            raise ValueError(f"{path} is missing, though {CHECKSUMS} names it; {_remedy('restore it')}")
    return True


def _compare(path: Path, digest: str, size: int | None) -> None:
    found = path.stat()
    if size not in (None, found.st_size):
        raise ValueError(f"{path} has {found.st_size} bytes instead of {size}; {_remedy('restore it')}")
    if known_sha256(path) != digest:
        raise ValueError(f"{path}: its bytes are not those recorded in {CHECKSUMS}; {_remedy('restore it')}")


def check_folder(folder: str | os.PathLike[str], *, verify: bool = True) -> None:
    """Check what a loader is about to open, before any library does; a Hub id that is no folder here is left to it.

    Args:
        folder: A checkpoint, a SentenceTransformer or an adapter.
        verify: Compare with `SHA256SUMS` if there is one.

    Raises:
        FileNotFoundError: If an index names a file that is not there.
        ValueError: If weights are pickles, truncated or damaged, or a name leads out of the folder.
    """
    root = Path(folder)
    if not root.is_dir():
        return
    for place in loaded_folders(root):
        _check_weights(place)
    if verify:
        verify_checksums(root)


def loaded_folders(root: Path) -> Iterator[Path]:
    """The folders that a loader reads weights from: the checkpoint's own and those that modules.json names."""
    yield root
    path = root / "modules.json"
    for module in read_list(path) if path.is_file() else []:
        kind, name = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(name, str):
            raise ValueError(f"{path}: not a list of modules with a type and a path each")
        if kind.split(".")[0] not in ("sentence_transformers", "mmbert"):
            raise ValueError(f"{path} names the class {kind!r}; only classes of sentence_transformers are loaded")
        place = inside(root, name, path)
        if name and place.is_dir():
            yield place


def refuse_pickled_state(checkpoint: Path) -> None:
    """Refuse a run's checkpoint that keeps optimizer, schedule or random state in pickles, which Trainer would open."""
    for path in sorted(checkpoint.iterdir()):
        if _PICKLED_STATE.fullmatch(path.name):
            raise ValueError(
                f"{path} is a pickle, which can run code when opened, and is never loaded; remove it, or begin a new "
                "run from these weights"
            )


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder with any file of a pickle's name in it or below."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in PICKLES and not path.name.startswith("openvino"):
            refuse_pickle(path)


@contextmanager
def one_line_errors(checkpoint: str | os.PathLike[str]) -> Iterator[None]:
    """Shorten what libraries say in the block about files of a checkpoint that they cannot find, read or understand."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        try:
            check_settings(Path(checkpoint))
        except ValueError as broken:
            raise ValueError(f"{broken}; restore it") from error
        _refuse_without_tokenizer(Path(checkpoint), error)
        _shorten(str(checkpoint), error)
        raise


def check_settings(folder: Path) -> None:
    """Refuse a folder with a file of settings that cannot be read; libraries do not say which one it is.

    Args:
        folder: A checkpoint, or a SentenceTransformer with its modules; anything else is left alone.

    Raises:
        ValueError: If a file is no JSON object, or tokenizer.json no tokenizer; the message names it.
    """
    try:
        places = [*loaded_folders(folder)] if folder.is_dir() else []
    except ValueError:  # modules.json, which whoever reads it speaks of
        places = [folder]
    for place in places:
        for name in _SETTINGS:
            if (place / name).is_file():
                read_json(place / name)
        if (place / _TOKENIZER).is_file():
            from tokenizers import Tokenizer

            try:
                Tokenizer.from_file(str(place / _TOKENIZER))
            except Exception as error:  # of no narrower class
                raise ValueError(f"{place / _TOKENIZER}: not a tokenizer ({_first_line(error)})") from None


def _refuse_without_tokenizer(folder: Path, error: Exception) -> None:
    """Say that the tokenizer is missing, where a library asks for files of every kind that it knows."""
    there = (folder / _TOKENIZER).is_file() or any(folder.glob("*.model"))
    if folder.is_dir() and not there and re.search("tokenizer|processing class", str(error)):
        raise FileNotFoundError(f"{folder} holds no {_TOKENIZER}; save the model with its tokenizer") from error


def _shorten(checkpoint: str, error: Exception) -> None:
    if isinstance(error, OSError):
        raise FileNotFoundError(f"cannot load {checkpoint}: {_first_line(error)}") from error
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return
    if not (isinstance(error, ValueError) and checkpoint in str(error)):
        told = f"{type(error).__name__}: {_first_line(error)}"  # for settings of another type, what it happens to be
        raise ValueError(f"cannot load {checkpoint}: {told}; restore its settings, config.json first") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__


def _check_weights(place: Path) -> None:
    if (place / INDEX).is_file() and not (place / SINGLE).is_file():
        find_shards(place)
    whole = sorted(place.glob("*.safetensors"))
    for path in whole:
        read_header(path)
    for path in sorted(place.iterdir()):
        if not whole and _PICKLED_WEIGHTS.fullmatch(path.name):
            refuse_pickle(path)


def _listed(directory: Path) -> list[Path]:
    found = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.is_symlink() or path.name == CHECKSUMS:
            continue
        if path.is_dir():
            found += [] if path.name.startswith("checkpoint-") or path.name in _UNLISTED else _listed(path)
        elif path.suffix not in _PAPERS or path.name in _TEXTS:
            found.append(path)
    return found


def _read_checksums(directory: Path) -> tuple[dict[str, str], dict[str, int]]:
    path = directory / CHECKSUMS
    digests, sizes = {}, {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines:
            first, _, name = line.partition(" ")
            if first == "#":
                size, _, name = name.partition(" ")
                sizes[name] = int(size)
            elif re.fullmatch(r"[0-9a-f]{64}", first) and name[:1] in (" ", "*") and name[1:]:
                digests[name[1:]] = first
            else:
                raise ValueError(f"{line[:80]!r} is no line of it")
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {_remedy('restore it')}") from None
    if set(sizes) - set(digests) or not digests:
        raise ValueError(f"{path} is damaged (entries are missing); {_remedy('restore it')}")
    return digests, sizes


def _remedy(first: str) -> str:
    return f"{first}, or delete {CHECKSUMS} if you changed the folder yourself"

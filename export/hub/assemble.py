"""What is published of a folder: the model in the export format, its tokenizer, a card, its reports and pictures.

A fine-tuned network brings the adapters that were merged into it along, if others have what they were trained on.

Everything is put together and checked on disk first, so that an upload is one commit of a folder that is known to be
whole. Only what is on these lists leaves the machine: optimizer states, logs and shards stay where they are.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...common.checkpoints.integrity import refuse_pickles, write_checksums
from ...common.checkpoints.reader import SIDE_FILES
from ...common.files import copy_files, read_json, record_of, write_json
from ...common.local_paths import hide_local_paths, without_notes
from ...common.run_file import NAME as RUN_FILE
from ...model_cards.cards.folder import address_usage, pictures_of, write_card
from ..modernbert.convert import export_modernbert

logger = logging.getLogger(__name__)

ADAPTER = "adapter_config.json"
_ADAPTER_FILES = (ADAPTER, "adapter_model.safetensors", *SIDE_FILES)
_PAPERS = ("README.md", "LICENSE", "LICENSE.txt", "NOTICE")
_REPORTS = (
    "evaluation.json",
    "fine_tune_record.json",
    "language_report.json",
    "language_report.md",
    "merge.json",
    "parity.json",
    "retrieval.json",
    "run_record.json",
    RUN_FILE,
    "scores.json",
    "table.json",
    "table.md",
    "trim.json",
)
_FORMATS = ("onnx", "openvino", "gguf")  # folders that hold the same model for other runtimes
_FORMAT_FILES = (".onnx", ".onnx_data", ".data", ".xml", ".bin", ".gguf", ".json")
_WITHOUT_PATHS = ("tokenizer.json", "self_test.json", "kept_ids.txt", "LICENSE.txt", "added_tokens.json")
_TEXTS = (".json", ".md", ".txt", ".yaml", ".svg", ".xml")


def assemble(
    folder: str | os.PathLike[str],
    directory: Path,
    *,
    base_model: str | None = None,
    papers: str | os.PathLike[str] | None = None,
    address: str | None = None,
) -> None:
    """Put together what is published of a checkpoint, a SentenceTransformer or an adapter."""
    source = Path(folder)
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is no folder; give a checkpoint, a SentenceTransformer or an adapter")
    _refuse_links(source)
    if (source / ADAPTER).is_file():
        _assemble_adapter(source, directory, base_model)
    else:
        export_modernbert(source, directory, card=False)  # written when its records have come
        if (source / "adapter" / ADAPTER).is_file():
            _add_merged_adapter(source / "adapter", directory / "adapter", base_model)
    for place in (*_places(source), *([Path(papers)] if papers else [])):
        _copy_papers(place, directory)
    for name in _FORMATS:
        if (source / name).is_dir():
            shutil.copytree(source / name, directory / name, ignore=_unknown_files)
    with record_of(source):
        card = write_card(directory, _name(source), extend=False)
    if address is not None:
        address_usage(card, address)
    _hide_paths(directory, source)
    write_checksums(directory)


def _hide_paths(directory: Path, source: Path) -> None:
    """Take paths of this machine out of records, settings, cards and pictures; what a model is made of has none."""
    near = (Path.home(), Path.cwd(), source.absolute().parent, source.resolve().parent)
    homes = [place for one in near for place in (one, *one.parents)]
    for path in sorted(directory.rglob("*")):
        if path.suffix == ".png":
            path.write_bytes(without_notes(path.read_bytes()))
        if path.suffix not in _TEXTS or path.name in _WITHOUT_PATHS or path.name.endswith(".index.json"):
            continue
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if path.suffix == ".json":
            value = json.loads(text)
            hidden = hide_local_paths(value, homes=homes)
            found = text if hidden == value else json.dumps(hidden, indent=2, ensure_ascii=False) + "\n"
        else:
            shown = path.name != RUN_FILE  # a card may show an example's path
            found = hide_local_paths(text, only_existing=shown, homes=homes)
        if found != text:
            path.write_text(found, encoding="utf-8", errors="surrogateescape", newline="\n")


def _refuse_links(source: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a link; what is published must be files of the folder itself")


def _unknown_files(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(name).suffix not in _FORMAT_FILES]


def _copy_papers(place: Path, directory: Path) -> None:
    for name in (*_PAPERS, *_REPORTS):
        if not (directory / name).exists():
            copy_files(place, directory, [name])
    for picture in pictures_of(place):
        target = directory / picture.relative_to(place)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, target)


def _add_merged_adapter(source: Path, directory: Path, base_model: str | None) -> None:
    try:
        _assemble_adapter(source, directory, base_model)
    except ValueError as unfit:  # the model is whole without it
        logger.warning("the adapter alone is not published: %s", unfit)


def _assemble_adapter(source: Path, directory: Path, base_model: str | None) -> None:
    """Copy an adapter; its base must be something that others can load."""
    refuse_pickles(source)
    if not (source / "adapter_model.safetensors").is_file():
        raise FileNotFoundError(f"{source} holds no adapter_model.safetensors; save the adapter again")
    fields = read_json(source / ADAPTER)
    base = base_model or str(fields.get("base_model_name_or_path"))
    if Path(base).exists() or base.startswith((".", "/", "~")) or base.count("/") > 1:
        raise ValueError(
            f"{source / ADAPTER}: the adapter's base is the folder {base!r}, which nobody else has; push the base "
            "first and name it by --base-model owner/name"
        )
    directory.mkdir(parents=True, exist_ok=True)
    copy_files(source, directory, _ADAPTER_FILES)
    write_json(directory / ADAPTER, {**fields, "base_model_name_or_path": base})


def _places(source: Path) -> Iterator[Path]:
    """Yield the folder, and for a run's `final` the part of the run that it ended."""
    yield source
    if source.name == "final" and (source.parent / "run_record.json").is_file():
        yield source.parent


def _name(source: Path) -> str:
    """Name a model after its run: `news` for `news`, `news/final` and `news/seed-1`."""
    path = source.absolute()
    return path.parent.name if path.name == "final" or path.name.startswith("seed-") else path.name

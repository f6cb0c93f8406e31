"""The modules of a SentenceTransformer, such as its pooling: folders beside the encoder that go where it goes."""

import json
import shutil
from pathlib import Path

from ...common.checkpoints.format import PICKLES

MODULES = "modules.json"
MODULE_FILES = (MODULES, "sentence_bert_config.json", "config_sentence_transformers.json")


def copy_modules(source: Path, target: Path) -> None:
    """Copy the folders that modules.json names; where there is none, do nothing.

    Args:
        source: A SentenceTransformer's folder.
        target: The folder being written.

    Raises:
        ValueError: If modules.json is damaged or leads out of the folder, or a module holds a pickle.
    """
    for name in (module["path"] for module in read_modules(source)):
        if not name or not (source / name).is_dir():
            continue
        if Path(name).name != name or name == "..":
            raise ValueError(f"{source / MODULES}: {name!r} is not the plain name of a folder")
        if pickle := next((file for file in sorted((source / name).rglob("*")) if file.suffix in PICKLES), None):
            raise ValueError(f"{pickle} is a pickle, which can run code when opened; save the module as safetensors")
        shutil.copytree(source / name, target / name)


def read_modules(folder: Path) -> list[dict[str, str]]:
    """Read modules.json of a SentenceTransformer, if there is one.

    Args:
        folder: The checkpoint.

    Returns:
        Type and path of each, or an empty list.

    Raises:
        ValueError: If the file is damaged.
    """
    path = folder / MODULES
    if not path.is_file():
        return []
    try:
        return [{"type": str(module["type"]), "path": str(module["path"])} for module in json.loads(path.read_bytes())]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a list of modules with a type and a path each ({error!r})") from None

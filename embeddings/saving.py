"""Saves an embedder so that plain sentence-transformers loads it, without this package and without remote code.

The folder keeps the layout of sentence-transformers (encoder in the root, modules in numbered folders); only the
encoder's config.json changes: `model_type` becomes `modernbert`, whose tensors have the same names and numbers, with
RoPE in the nested spelling of transformers 5 and the flat one of transformers 4. `export_modernbert` takes the folder
and does the same with more proofs, for those who publish.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..modeling.checkpoint_writer import atomic_directory, write_json
from ..modeling.configuration_mmbert import MmBertConfig
from ..modeling.tokenizer import save_tokenizer

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def save_embedder(embedder: "SentenceTransformer", output: str | os.PathLike[str]) -> Path:
    """Write an embedder as a folder that is either absent or whole.

    Args:
        embedder: What `load_embedder` gave, tuned or not.
        output: Folder to write; it must not exist, or be empty.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder is in use or cannot be written.
    """
    with atomic_directory(output) as partial:
        # no card here: model_cards writes it from the run's records
        embedder.save_pretrained(str(partial), create_model_card=False)
        make_portable(partial)
        save_tokenizer(embedder.tokenizer, partial)
    return Path(output)


def make_portable(folder: Path) -> None:
    """Rewrite the encoder's config.json of a saved SentenceTransformer to `modernbert`; others stay as they are.

    Args:
        folder: The saved SentenceTransformer.
    """
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    if fields.get("model_type") != MmBertConfig.model_type:
        return
    fields["model_type"] = "modernbert"
    fields["architectures"] = ["ModernBertModel"]
    fields["sparse_prediction"] = False  # as in the released configs: stock heads would give no logits
    fields.pop("auto_map", None)
    write_json(path, fields)

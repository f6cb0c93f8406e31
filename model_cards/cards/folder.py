"""The card of any folder that this package writes: chosen by the records that lie there, with lines that use it.

A card that is there stays; the Hub's metadata are added at its head, and `## How to use` at its end where we write
the folder (what is published of somebody's own card is what they wrote).
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.files import read_json, write_text
from .minimal import build_plain_card

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

PICTURES = (".png", ".svg")
_USAGE = "## How to use"
_EMPTY_FORM = "[More Information Needed]"  # peft leaves an empty form that names folders of this machine
_SENTENCES = '["The river rises.", "Der Fluss steigt."]'
_OF_HEAD = {
    "ForMaskedLM": (
        "Fill in a masked word (`import mmbert` makes transformers know the type):",
        "import mmbert\nfrom transformers import pipeline\n\nfill = pipeline('fill-mask', model={place})\n"
        "print(fill(f'The river {{fill.tokenizer.mask_token}} every spring.')[0]['token_str'])",
    ),
    "ForSequenceClassification": (
        "Classify texts:",
        "from mmbert import Classifier\n\nprint(Classifier.load({place}).predict({texts}))",
    ),
    "ForTokenClassification": (
        "Tag words:",
        "from mmbert import Tagger\n\nprint(Tagger.load({place}).predict({texts}))",
    ),
    "ForQuestionAnswering": (
        "Find answers in passages:",
        "from mmbert import Answerer\n\n"
        "row = {{'question': 'What rises?', 'context': 'The river rises every spring.'}}\n"
        "print(Answerer.load({place}).predict(row))",
    ),
    "ForMultipleChoice": (
        "Choose among continuations:",
        "from mmbert import Chooser\n\nrow = {{'text': 'The river', 'choices': ['rises.', 'reads a book.']}}\n"
        "print(Chooser.load({place}).predict(row))",
    ),
    "Model": (
        "Vectors of sentences, the mean over real tokens (train the encoder on pairs before you search with it):",
        "from mmbert import load_embedder\n\nprint(load_embedder({place}).encode({texts}).shape)",
    ),
}
_OF_FAMILY = {
    "SentenceTransformer": (
        "Vectors of sentences, with `pip install sentence-transformers` alone:",
        "from sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer({place})\n"
        "vectors = model.encode({texts})\nprint(model.similarity(vectors, vectors))",
    ),
    "CrossEncoder": (
        "Score question and passage together, with `pip install sentence-transformers` alone:",
        "from sentence_transformers import CrossEncoder\n\n"
        "print(CrossEncoder({place}).predict([('What rises?', 'The river rises.'), ('What rises?', 'A red house.')]))",
    ),
    "SparseEncoder": (
        "Weights over the vocabulary, with `pip install sentence-transformers` alone:",
        "from sentence_transformers import SparseEncoder\n\nprint(SparseEncoder({place}).encode({texts}).shape)",
    ),
    "MultiVectorEncoder": (
        "One vector per token, compared by MaxSim, with `pip install sentence-transformers` alone:",
        "from sentence_transformers import MultiVectorEncoder\n\n"
        "print([one.shape for one in MultiVectorEncoder({place}).encode({texts})])",
    ),
}
_LOADS = re.compile(
    r"((?:load|load_embedder|Transformer|Encoder|from_pretrained|Session|compile_model)\(|model=)\"[^\"\n]*\""
)
_ONNX = """import onnxruntime
from transformers import AutoTokenizer

session = onnxruntime.InferenceSession({place} + "/{file}")
batch = AutoTokenizer.from_pretrained({place})({texts}, padding=True, return_tensors="np")
wanted = {{one.name for one in session.get_inputs()}}
print(session.run(None, {{name: value for name, value in batch.items() if name in wanted}})[0].shape)"""
_OPENVINO = """import openvino
from transformers import AutoTokenizer

network = openvino.Core().compile_model({place} + "/{file}")
batch = AutoTokenizer.from_pretrained({place})({texts}, padding=True, return_tensors="np")
wanted = {{name for one in network.inputs for name in one.names}}
print(network({{name: value for name, value in batch.items() if name in wanted}})[0].shape)"""


def usage(folder: Path, address: str) -> str:
    """Say how a folder is used, in a block that runs where `address` leads to it."""
    place = {"place": f'"{address}"', "texts": _SENTENCES}
    if graphs := sorted(folder.glob("*.gguf")):
        lines = f"llama-server --embedding -m {address}/{graphs[0].name}"
        return f"{_USAGE}\n\nWith llama.cpp:\n\n```bash\n{lines}\n```\n"
    record = read_json(folder / "export.json") if (folder / "export.json").is_file() else {}
    said = folder / "config_sentence_transformers.json"
    family = str((read_json(said) if said.is_file() else {}).get("model_type") or "SentenceTransformer")
    if file := record.get("file"):
        title, block = ("With ONNX Runtime:", _ONNX) if str(file).endswith(".onnx") else ("With OpenVINO:", _OPENVINO)
        place["file"] = str(file)
    elif (folder / "modules.json").is_file() or (said.is_file() and family in _OF_FAMILY):
        title, block = _OF_FAMILY.get(family, _OF_FAMILY["SentenceTransformer"])
    else:
        head = str((read_json(folder / "config.json").get("architectures") or ["Model"])[0])
        title, block = next((found for ending, found in _OF_HEAD.items() if head.endswith(ending)), _OF_HEAD["Model"])
    return f"{_USAGE}\n\n{title}\n\n```python\n{block.format(**place)}\n```\n"


def build_folder_card(folder: Path, name: str) -> "ModelCard":
    """Fill a card from the records that lie in a folder; say only what the files say where there are none."""
    from .finetuning import build_fine_tune_card
    from .merge import build_merge_card
    from .pretraining import build_card, read_records

    if (folder / "run_record.json").is_file():
        record, retrieval, merge = read_records(folder)
        pictures = {path.stem: path.relative_to(folder).as_posix() for path in pictures_of(folder)}
        return build_card(record, retrieval=retrieval, merge=merge, pictures=pictures)
    if (folder / "merge.json").is_file():
        picture = "agreement.png" if (folder / "agreement.png").is_file() else None
        return build_merge_card(read_json(folder / "merge.json"), name=name, picture=picture)
    if (folder / "fine_tune_record.json").is_file():
        return build_fine_tune_card(read_json(folder / "fine_tune_record.json"), name=name)
    if (folder / "adapter_config.json").is_file():
        return build_plain_card(name, adapter=read_json(folder / "adapter_config.json"))
    config: dict[str, Any] = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    return build_plain_card(name, config=config, embedder=(folder / "modules.json").is_file())


def write_card(
    folder: str | os.PathLike[str], name: str | None = None, *, replace: bool = False, extend: bool = True
) -> Path:
    """Write README.md into a folder, or complete the one that lies there.

    Args:
        folder: A checkpoint, an export, or anything else that this package writes.
        name: Title; None: the folder's name.
        replace: Write it anew, as after another training.
        extend: Add lines of use to a card that is there and has none.

    Returns:
        The file.
    """
    root = Path(folder)
    name = name or _name(root)
    path = root / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() and not replace else ""
    if not text.strip() or _EMPTY_FORM in text:
        text, extend = str(build_folder_card(root, name)), True
    elif not text.startswith("---"):
        title = "" if text.startswith("# ") else f"# {name}\n\n"
        text = f"---\n{build_folder_card(root, name).data.to_yaml()}\n---\n\n{title}{text}"
    if extend and _USAGE not in text and not (root / "adapter_config.json").is_file():
        text = f"{text.rstrip()}\n\n{usage(root, name)}"
    write_text(path, text)
    return path


def address_usage(card: Path, address: str) -> None:
    """Let the lines of use that this package wrote load the model from where it will lie; others are left alone."""
    before, title, after = card.read_text(encoding="utf-8").partition(_USAGE)
    own = after.partition("\n## ")[0]
    if title:
        text = _LOADS.sub(rf'\g<1>"{address}"', own)
        write_text(card, f"{before}{title}{text}{after[len(own) :]}")


def pictures_of(place: Path) -> list[Path]:
    """The pictures of a folder and of `pictures/` in it."""
    return sorted(path for home in (place, place / "pictures") for path in home.glob("*") if path.suffix in PICTURES)


def _name(folder: Path) -> str:
    """The folder's name; of one of several seeds with the run's, so that it leads there."""
    path = folder.absolute()
    return f"{path.parent.name}/{path.name}" if path.name.startswith("seed-") else path.name

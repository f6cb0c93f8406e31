"""Writes a checkpoint as GGUF, the format of llama.cpp, llama-server and Ollama: architecture modern-bert.

Encoders and embedders pool by the mean or the first token; classifiers and rerankers whose head reads the mean
take llama.cpp's pooling "rank". Both RoPE bases, the window and its period, and the tokenizer go into the file.

Trade-off: GGUF keeps neither prompts nor a cut of dimensions; callers add prompts to texts themselves.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer

from ...common.checkpoints.writer import atomic_directory
from ...common.files import read_json, refuse_existing, write_json
from ...common.messages import option, require_known
from ...model_cards.cards.folder import write_card
from ..graphs.parity import SENTENCES
from ..graphs.plan import EMBEDDERS, read_network
from ..graphs.pooling_head import EmbeddingHead, saved_settings
from .tokenizer import read_vocabulary

if TYPE_CHECKING:
    from gguf import GGUFWriter

DTYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
_BLOCK = 32  # numbers that share a scale in the quantised types
_LAYER = {
    "attn_norm.weight": "attn_norm",
    "attn.Wqkv.weight": "attn_qkv",
    "attn.Wo.weight": "attn_output",
    "mlp_norm.weight": "ffn_norm",
    "mlp.Wi.weight": "ffn_up",  # both halves of the gated activation
    "mlp.Wo.weight": "ffn_down",
}
_WHOLE = {
    "embeddings.tok_embeddings.weight": "token_embd",
    "embeddings.norm.weight": "token_embd_norm",
    "final_norm.weight": "output_norm",
}
_HEAD = {
    "head.dense.weight": "cls.weight",
    "head.dense.bias": "cls.bias",
    "head.norm.weight": "cls.norm.weight",
    "classifier.weight": "cls.output.weight",
    "classifier.bias": "cls.output.bias",
}


@dataclass(frozen=True, slots=True)
class GgufExport:
    """What a GGUF export wrote.

    Attributes:
        output: The folder.
        file: The GGUF, below it.
        task: `embedding` or `text-classification`.
        pooling: `mean`, `cls`, `rank`, or `none` for vectors of tokens.
    """

    output: Path
    file: str
    task: str
    pooling: str


def export_gguf(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    dtype: str = "f16",
    task: str | None = None,
    pooling: str | None = None,
) -> GgufExport:
    """Write a folder with a GGUF file for llama.cpp, and a Modelfile for Ollama beside it.

    Args:
        checkpoint: Checkpoint, SentenceTransformer, reranker, or LoRA adapter (peft), which is merged.
        output: Folder to make; it is absent or whole.
        dtype: Of the weight matrices: `f32`, `f16`, `bf16`, `q8_0`, `q5_1`, `q5_0`, `q4_1` or `q4_0`; norms and heads
            stay in f32.
        task: `embedding`, or `text-classification` where the checkpoint has that head; None: what it is made for. A
            masked LM is written as its encoder.
        pooling: For embeddings: `mean` or `cls`; None: as saved, mean for a plain encoder.

    Returns:
        The folder, the file and what it computes.

    Raises:
        FileNotFoundError: If the checkpoint or its tokenizer is absent.
        ImportError: If gguf is not installed.
        ValueError: If the checkpoint is damaged or llama.cpp cannot compute it, or the output exists or cannot be
            written; the message names what.
    """
    require_known("dtype", dtype, DTYPES)
    try:
        import gguf
    except ImportError as missing:
        raise ImportError('GGUF needs gguf: pip install "mmbert[gguf]"') from missing
    refuse_existing(output)
    folder = Path(checkpoint)
    task, model, files = read_network(folder, task, encoder_of=("fill-mask", "feature-extraction"))
    config, dims = model.config, None
    _check(config, task, dtype, folder)
    if task == "embedding":
        head = EmbeddingHead.read(folder, config.hidden_size, pooling)
        if head.dense:
            raise ValueError(
                f"{folder}: llama.cpp runs no linear layer behind the pooling of this architecture; export it to onnx"
            )
        kind: str = head.pooling
        dims = head.dims
        limit = saved_settings(folder, None, config.max_position_embeddings)["max_seq_length"]
    elif pooling is not None:
        raise ValueError(f"pooling is for task embedding, the task is {task}; leave it out")
    else:
        kind = "rank" if task == "text-classification" else "none"
        limit = config.max_position_embeddings
    file = f"model-{dtype}.gguf"
    with atomic_directory(output) as directory:
        writer = gguf.GGUFWriter(directory / file, "modern-bert")
        writer.add_name(folder.resolve().name)
        _write_settings(writer, config, kind, limit, dtype)
        _write_tokenizer(writer, files, config.vocab_size)
        if task == "text-classification":
            writer.add_classifier_output_labels([str(config.id2label[n]) for n in range(config.num_labels)])
        _write_tensors(writer, model, dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        (directory / "Modelfile").write_text(f"FROM ./{file}\n", encoding="utf-8")
        _write_record(directory, folder, file, task, kind, limit, dims, config)
        if task == "embedding":
            _add_self_test(directory, model, files, kind)
        write_card(directory, Path(output).name)
    return GgufExport(Path(output), file, task, kind)


def _check(config: Any, task: str, dtype: str, folder: Path) -> None:
    """Refuse what llama.cpp's modern-bert has no word for."""
    if task not in (*EMBEDDERS, "text-classification"):
        raise ValueError(
            f"{folder}: llama.cpp serves embeddings and sequence classification, not {task}; "
            f"{option('format', 'onnx')} writes it whole, {option('task', 'embedding')} its encoder alone"
        )
    for name in ("attention_bias", "mlp_bias", "norm_bias"):
        if getattr(config, name, False):
            raise ValueError(f"{folder}: {name} is on, and llama.cpp's modern-bert has no such tensors")
    if config.hidden_activation != "gelu":
        raise ValueError(
            f"{folder}: hidden_activation is {config.hidden_activation}; llama.cpp's modern-bert runs gelu"
        )
    period = config.global_attn_every_n_layers
    kinds = ["sliding_attention" if n % period else "full_attention" for n in range(config.num_hidden_layers)]
    if list(config.layer_types) != kinds:
        raise ValueError(f"{folder}: layer_types follow no fixed period; GGUF says every n-th layer is global")
    if any(rope.get("rope_type", "default") != "default" for rope in config.rope_parameters.values()):
        raise ValueError(f"{folder}: its RoPE is scaled; only rope_type 'default' can be written as GGUF")
    if task == "text-classification" and (config.classifier_pooling, config.classifier_activation) != ("mean", "gelu"):
        raise ValueError(
            f"{folder}: its head pools by {config.classifier_pooling} and runs {config.classifier_activation}; "
            "llama.cpp's modern-bert reads the mean and runs gelu: use --format onnx, or fine-tune with "
            "classifier_pooling mean"
        )
    for name in ("hidden_size", "intermediate_size") if dtype.startswith("q") else ():
        if getattr(config, name) % _BLOCK:
            raise ValueError(
                f"{folder}: {name} is {getattr(config, name)}, {dtype} wants a multiple of {_BLOCK}; choose f16 or bf16"
            )


def _write_settings(writer: "GGUFWriter", config: Any, pooling: str, limit: int, dtype: str) -> None:
    import gguf

    writer.add_context_length(limit)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType[pooling.upper()])
    writer.add_rope_freq_base(float(config.rope_parameters["full_attention"]["rope_theta"]))
    if "sliding_attention" in config.layer_types:
        writer.add_sliding_window(config.local_attention)
        writer.add_sliding_window_pattern(config.global_attn_every_n_layers)
        writer.add_rope_freq_base_swa(float(config.rope_parameters["sliding_attention"]["rope_theta"]))
    writer.add_vocab_size(config.vocab_size)
    types = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16"}
    writer.add_file_type(gguf.LlamaFileType[types.get(dtype, f"MOSTLY_{dtype.upper()}")])


def _write_tokenizer(writer: "GGUFWriter", files: Path, rows: int) -> None:
    vocabulary = read_vocabulary(files, rows)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    for name, number in vocabulary.special.items():
        if name == "cls":
            writer.add_uint32("tokenizer.ggml.cls_token_id", number)
        else:
            getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(vocabulary.adds[0])
    writer.add_add_eos_token(vocabulary.adds[1])
    writer.add_add_space_prefix(True)


def _write_tensors(writer: "GGUFWriter", model: Any, dtype: str) -> None:
    import gguf

    kind = gguf.GGMLQuantizationType[dtype.upper()]
    for name, tensor in model.state_dict().items():
        target = _name(name)
        if target is None:
            continue
        values = tensor.detach().to(torch.float32).numpy()
        matrix = values.ndim == 2 and not target.startswith("cls")
        stored = kind if matrix else gguf.GGMLQuantizationType.F32
        writer.add_tensor(target, gguf.quants.quantize(values, stored), raw_dtype=stored)


def _name(name: str) -> str | None:
    """Return llama.cpp's name of a tensor; None for the head of a masked LM."""
    if name in _HEAD:
        return _HEAD[name]
    name = name.removeprefix("model.")
    if name in _WHOLE:
        return f"{_WHOLE[name]}.weight"
    _, _, rest = name.partition("layers.")
    number, _, rest = rest.partition(".")
    return f"blk.{number}.{_LAYER[rest]}.weight" if rest in _LAYER else None


def _write_record(
    directory: Path, folder: Path, file: str, task: str, pooling: str, limit: int, dims: int | None, config: Any
) -> None:
    from ...version import __version__

    settings = saved_settings(folder, None, limit) if task == "embedding" else {}
    record = {
        "task": task,
        "file": file,
        "output": "sentence_embedding" if task == "embedding" else "logits",
        "max_length": limit,
        "dimensions": config.hidden_size if task == "embedding" else config.num_labels,
        "normalized": False,
        "pooling": pooling,
        "prompts": settings.get("prompts") or {},
        "truncate_dim": dims,  # llama.cpp gives all dimensions: cut and scale them yourself
        "mmbert": __version__,
    }
    write_json(directory / "export.json", record)


def _add_self_test(directory: Path, model: Any, files: Path, pooling: str) -> None:
    """Put a text, its ids and its vector of length 1 into export.json, for `mmbert doctor` to compare in llama.cpp."""
    ids = Tokenizer.from_file(str(files / "tokenizer.json")).encode(SENTENCES[0]).ids
    with torch.inference_mode():
        states = model(torch.tensor([ids])).last_hidden_state[0]
    vector = torch.nn.functional.normalize(states[0] if pooling == "cls" else states.mean(0), dim=0)
    values = [float(f"{value:.7g}") for value in vector.tolist()]
    test = {"text": SENTENCES[0], "input_ids": ids, "values": values}
    write_json(directory / "export.json", {**read_json(directory / "export.json"), "self_test": test})

"""Loads an encoder, ours or ModernBERT's, as a SentenceTransformer that runs on our network.

A plain encoder gets pooling and normalisation; a saved SentenceTransformer keeps its own modules.

Trade-off: who names no dtype gets the one that the device is fast in, so an fp32 checkpoint runs in bf16 where the
processor has the instructions. One line of the log says so. What was rounded on the way is for embedding: training and
saving it are refused until the user names a dtype.
"""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import PretrainedConfig

from ...common.checkpoints.format import DTYPES, architectures, exported_kind, read_header
from ...common.checkpoints.hub import local_checkpoint
from ...common.messages import option, require_known
from ...export.modernbert.st_modules import saved_kind
from ...modeling import MmBertModel, quantise_weights, register
from ...modeling.hardware import compiler_obstacle, describe_runtime, preferred_attention, preferred_dtype
from ...modeling.int8_format import int8_table
from ...modeling.int8_weights import require_integers
from ...modeling.stored_embedding import widen_all_but_table
from .backend import existing, known_device, needs_sentence_transformers, one_line_errors, use_our_network

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_log = logging.getLogger(__name__)
_DTYPES = {  # None and auto are everywhere
    "torch": ("float32", "bfloat16", "float16", "int8"),
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
_HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
_announced: set[str] = set()  # what this process has said already


def load_embedder(
    checkpoint: str | os.PathLike[str],
    *,
    dims: int | None = None,
    max_seq_length: int | None = None,
    normalize: bool = True,
    pooling: Literal["mean", "cls"] | None = None,
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] | None = None,
    device: str | None = None,
    compile: bool = False,
    backend: Literal["torch", "onnx", "openvino"] = "torch",
    prompts: dict[str, str] | None = None,
    default_prompt: str | None = None,
    token_budget: int | None = None,
    verify: bool = True,
) -> "SentenceTransformer":
    """Load an encoder or a saved SentenceTransformer; `encode` then turns texts into vectors.

    Args:
        checkpoint: A folder with config.json (an encoder of type `mmbert` or `modernbert`) or modules.json (a saved
            SentenceTransformer), or the Hub id of either.
        dims: Keep only the first so many dimensions, for models trained with Matryoshka; None: as saved, all for a
            plain encoder.
        max_seq_length: Cut texts after so many tokens; None: what the checkpoint allows, 8,192 for mmBERT.
        normalize: Give back vectors of length 1, so that a dot product is the cosine.
        pooling: Mean over the tokens of a text, or its first token; None: as saved, mean for a plain encoder.
        dtype: Of the encoder; pooling and normalisation are always computed in float32. None: bfloat16 where the device
            multiplies it by itself, else float32. auto: as stored. Name one to train or save the embedder. int8: linear
            layers rounded for a CPU, to embed only; for another backend, a folder that was exported so. Weights that
            are stored in int8 stay so, whatever the dtype of what is computed between them.
        device: Like `cpu` or `cuda:1`; None: the best one there is.
        compile: Compile the layers with `torch.compile` at the first text, which takes up to a minute. For GPUs; on one
            core of a CPU it gained 2 % at the most.
        backend: What computes: torch; or for a folder that `export_onnx` or `export_openvino` wrote, `onnx` or
            `openvino`, on the CPU, to embed only.
        prompts: Texts to put before others, by name, such as {"query": "query: "}; added to those of the checkpoint.
        default_prompt: Name of the one that is used where a call names none.
        token_budget: Most tokens of a batch; a longer text is a batch of its own. None: 4,096 on a CPU, where more
            gained nothing on one thread, 65,536 elsewhere.
        verify: Compare the files with the SHA256SUMS beside them.

    Returns:
        A SentenceTransformer: it encodes, trains, saves and pushes like any other, and its saves load without mmbert.
        Its vectors are float32. The log says once, at level INFO, in which dtype and with which attention it runs.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If an option lies outside what the checkpoint has, or contradicts it, or nothing here can compile.
    """
    require_known("pooling", pooling, (None, "mean", "cls"))
    require_known("backend", backend, tuple(_DTYPES))
    require_known("dtype", dtype, (None, "auto", *_DTYPES[backend]))
    if token_budget is not None and token_budget < 1:
        raise ValueError(f"token_budget must be at least 1 token, got {token_budget}")
    if device is not None and backend == "torch":
        known_device(device)
    checkpoint = existing(checkpoint, verify=verify)
    _warn_of_head(checkpoint)
    register()
    if backend != "torch":
        embedder = _exported(checkpoint, backend, dtype, pooling, device, compiled=compile)
    else:
        _refuse_graph(checkpoint)
        embedder = _torch(checkpoint, dtype, pooling, device, compiled=compile)
    check_pooling(embedder, pooling)
    set_normalization(embedder, normalize)
    set_length(embedder, max_seq_length)
    set_dims(embedder, dims)
    set_prompts(embedder, prompts, default_prompt)
    embedder.token_budget = token_budget
    if backend == "torch":
        _prepare_network(embedder, checkpoint, dtype, compiled=compile)
    embedder.eval()
    loaded: SentenceTransformer = embedder
    return loaded


def _warn_of_head(checkpoint: str) -> None:
    """Say of a classifier, tagger, reranker, SPLADE or ColBERT that its vectors were tuned for its own task."""
    if head := next((name for name in architectures(_settings(checkpoint)) if name.endswith(_HEADS)), None):
        _log.warning(
            "%s is a %s: its head is left out, and its vectors were tuned for labels, not to be compared; give an "
            "embedder, or the encoder it was made from",
            checkpoint,
            head,
        )
    if (kind := saved_kind(local_checkpoint(checkpoint))) in ("SparseEncoder", "MultiVectorEncoder"):
        _log.warning(
            "%s is a %s: the mean over its encoder's tokens was not trained to be compared; give an embedder, or load "
            "it by sentence_transformers.%s",
            checkpoint, kind, kind,
        )  # fmt: skip


def _refuse_graph(checkpoint: str) -> None:
    """Say which backend reads an exported folder, which has no weights for torch."""
    folder = Path(checkpoint)
    if (kind := exported_kind(folder)) and not any(folder.rglob("*.safetensors")):
        remedy = "llama.cpp" if kind == "GGUF" else option("backend", kind.lower())
        raise ValueError(
            f"{checkpoint} is a model for {kind}, for running only; load it with {remedy}, or give the one it is made "
            "of"
        )


def _torch(checkpoint: str, dtype: str | None, pooling: str | None, device: str | None, *, compiled: bool) -> Any:
    """Load a checkpoint on our network."""
    where = _device(device)
    if compiled and (obstacle := compiler_obstacle(where)):
        raise ValueError(f"{obstacle}; or leave compile out")
    in_int8 = _stored_in_int8(checkpoint)
    if in_int8:
        require_integers()
    if (dtype == "int8" or in_int8) and (compiled or where.type != "cpu"):
        raise ValueError(
            f"int8 is for the CPU and not compiled, the device is {where}; choose bfloat16 there, of a checkpoint that "
            f"is not in int8, or {option('device', 'cpu')}"
        )
    wanted = "float32" if dtype == "int8" else dtype or _name(preferred_dtype(where))
    into: torch.dtype = getattr(torch, wanted, torch.float32)
    stored = _uniform_dtype(checkpoint) if dtype in (None, "int8") and where.type == "cpu" else None
    stored = stored if stored and stored.itemsize < into.itemsize else None
    with one_line_errors(checkpoint):
        embedder = _assemble(checkpoint, pooling or "mean", {"dtype": _name(stored) if stored else wanted}, device)
    use_our_network(embedder, MmBertModel, "an embedder")
    if stored:  # to embed only: rows of the table that no text asks for are neither read nor widened
        widen_all_but_table(embedder[0].model, into)
    return embedder


def _uniform_dtype(checkpoint: str) -> torch.dtype | None:
    """Return the dtype of all weights of a folder's or snapshot's files; None if they have several, or int8."""
    files = sorted(local_checkpoint(checkpoint).glob("*.safetensors"))
    found = {info.dtype for file in files for info in read_header(file)[0].values()}
    return DTYPES[found.pop()] if len(found) == 1 else None


def _stored_in_int8(checkpoint: str) -> bool:
    return int8_table(_settings(checkpoint)) is not None


def _exported(
    checkpoint: str, backend: str, dtype: str | None, pooling: str | None, device: str | None, *, compiled: bool
) -> Any:
    """Open a folder that was exported."""
    with needs_sentence_transformers():
        from .exported_encoder import exported_embedder
    if compiled or device not in (None, "cpu"):
        raise ValueError(f"backend={backend!r} runs on the CPU and is not compiled; leave device and compile out")
    return exported_embedder(checkpoint, backend, dtype, pooling)


def _device(name: str | None) -> torch.device:
    """Return the device that sentence-transformers would take."""
    if name is not None:
        return known_device(name)
    with needs_sentence_transformers():
        from sentence_transformers.util import get_device_name
    return torch.device(get_device_name())


def _prepare_network(embedder: Any, checkpoint: str, dtype: str | None, *, compiled: bool) -> None:
    """Choose the attention, round or compile if asked to, keep the rest in fp32, and say what runs."""
    from .sentence_transformers_model import to_float32

    chosen = dtype is not None
    network = embedder[0].model
    attention = preferred_attention(network.device, network.dtype)
    if attention != "sdpa":  # that is what it has been loaded with
        network.set_attn_implementation(attention)
    embedder[0].register_forward_hook(to_float32)
    for module in list(embedder)[1:]:
        module.float()
    if compiled:
        network.compile()
    line = describe_runtime(network, advise=not chosen)
    stored = _stored_dtype(checkpoint)
    in_int8 = _stored_in_int8(checkpoint)
    if dtype == "int8" or in_int8:
        if not in_int8:
            quantise_weights(network)
        embedder.rounded_from = "int8" if in_int8 else _name(stored)
        line += "; weights in int8" if in_int8 else "; linear layers in int8"
    elif not chosen and torch.finfo(network.dtype).eps > torch.finfo(stored).eps:
        embedder.rounded_from = _name(stored)
        line += f'; rounded from {_name(stored)}, which dtype="auto" keeps'
    if line not in _announced:
        _announced.add(line)
        _log.info("embedding in %s", line)


def _stored_dtype(checkpoint: str) -> torch.dtype:
    """Return the dtype that the checkpoint's configuration names; fp32 if it names none."""
    fields = _settings(checkpoint)
    name = str(fields.get("dtype") or fields.get("torch_dtype") or "float32")
    stored = getattr(torch, name.removeprefix("torch."), None)
    return stored if isinstance(stored, torch.dtype) and stored.is_floating_point else torch.float32


def _settings(checkpoint: str) -> dict[str, Any]:
    """Read config.json; nothing of a broken one, or of an old SentenceTransformer with its encoder in a subfolder."""
    try:
        fields, _ = PretrainedConfig.get_config_dict(checkpoint)
    except (OSError, TypeError, AttributeError):  # what is wrong is said when it is loaded
        return {}
    return fields if isinstance(fields, dict) else {}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _assemble(checkpoint: str, pooling: str, model_kwargs: dict[str, Any], device: str | None) -> Any:
    """Load the modules that were saved, or put pooling and normalisation on a plain encoder."""
    with needs_sentence_transformers():
        from sentence_transformers.base.modules.transformer import Transformer
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
        from sentence_transformers.util import is_sentence_transformer_model

        from .sentence_transformers_model import Embedder, Int8Transformer
    if is_sentence_transformer_model(checkpoint):
        embedder = Embedder(checkpoint, model_kwargs=model_kwargs, device=device)
        if all(isinstance(module, (Transformer, Normalize)) for module in embedder):
            raise ValueError(
                f"modules.json of {checkpoint} names no pooling, so that no text has one vector; restore it"
            )
        return embedder
    kind = Int8Transformer if _stored_in_int8(checkpoint) else Transformer
    transformer = kind(checkpoint, model_kwargs=model_kwargs)
    width = transformer.get_embedding_dimension()
    return Embedder(modules=[transformer, Pooling(width, pooling_mode=pooling), Normalize()], device=device)


# Settings of an embedder, each checked against what the model has.


def check_pooling(embedder: Any, pooling: str | None) -> None:
    """Refuse a pooling that a saved embedder was not tuned with."""
    saved = next((module.pooling_mode for module in embedder if hasattr(module, "pooling_mode")), None)
    if pooling is not None and saved is not None and saved != pooling:
        raise ValueError(f"the saved embedder was tuned with {saved!r} pooling, got pooling={pooling!r}; leave it out")


def set_normalization(embedder: Any, normalize: bool) -> None:
    """Give vectors length 1, or leave them as they were pooled."""
    if not normalize and getattr(embedder[0], "normalized", False):
        raise ValueError(
            "the exported graph gives vectors of length 1, got normalize=False; export it with normalize=False, or "
            "leave it out"
        )
    from sentence_transformers.sentence_transformer.modules import Normalize

    embedder.normalize = normalize
    last = len(embedder) - 1
    if normalize and not isinstance(embedder[last], Normalize):
        embedder.append(Normalize())
    elif not normalize and isinstance(embedder[last], Normalize):
        del embedder[last]


def set_prompts(embedder: Any, prompts: dict[str, str] | None, default: str | None) -> None:
    """Add prompts to those of the checkpoint."""
    embedder.prompts = {**embedder.prompts, **(prompts or {})}
    if default is not None and default not in embedder.prompts:
        known = ", ".join(embedder.prompts) or "none"
        raise ValueError(
            f"default_prompt {default!r} is none of the prompts ({known}); name one, or give it in prompts"
        )
    embedder.default_prompt_name = embedder.default_prompt_name if default is None else default


def set_length(embedder: Any, max_seq_length: int | None) -> None:
    """Set the limit of tokens, which the model's own bounds."""
    exported = getattr(embedder[0], "longest", None)
    limit = embedder[0].model.config.max_position_embeddings if exported is None else exported
    if max_seq_length is not None and not 2 < max_seq_length <= limit:
        raise ValueError(f"max_seq_length must lie between 3 and the model's {limit} tokens, got {max_seq_length}")
    saved = embedder.max_seq_length or limit
    if not isinstance(saved, int) or isinstance(saved, bool) or saved < 3:
        raise ValueError(f"the saved embedder has max_seq_length {saved!r}, no number of tokens; give max_seq_length")
    embedder.max_seq_length = min(saved, limit) if max_seq_length is None else max_seq_length


def set_dims(embedder: Any, dims: int | None) -> None:
    """Cut vectors after so many dimensions; None: where the saved embedder cuts them."""
    if dims is None:
        return
    with embedder.truncate_embeddings(None):
        width = embedder.get_embedding_dimension()
    if not 1 <= dims <= width:
        raise ValueError(f"dims must lie between 1 and the model's {width} dimensions, got {dims}")
    embedder.truncate_dim = dims

"""Will it serve? What each engine reads in a checkpoint's files, and what it therefore does with this one.

Every judgement here comes from reading an engine's source, at the revision that `READ` names; nothing is loaded.
What was really run is the business of `serving_run.py`, whose verdicts replace the ones from here. "wrong" is worse
than "no": the engine starts, and computes something else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...common.checkpoints.format import architectures
from ...common.checkpoints.reader import Checkpoint
from ...common.files import read_json
from ...modeling.int8_format import int8_table
from ..modernbert.tokenizer_files import portable_cut

Loads = Literal["yes", "no", "wrong", "unknown"]
READ = {
    "transformers 4": "read in 4.57.6",
    "transformers 5": "read in 5.23.0",
    "sentence-transformers": "read in 6.2.0",
    "text-embeddings-inference": "read at 04f5d63",
    "vLLM": "read at 8ae7ba4",
    "llama.cpp": "read at 7bca1fd",
    "transformers.js, openvino-tokenizers": "measured with 4.3.2, 2026.4.1",
    "ONNX Runtime": "looked for the file",
}
# Fields of text-embeddings-inference's ModernBertConfig that have no default: one absent, and it does not start.
TEI_NEEDS = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads hidden_activation "
    "max_position_embeddings initializer_range initializer_cutoff_factor norm_eps norm_bias pad_token_id eos_token_id "
    "bos_token_id cls_token_id sep_token_id global_rope_theta attention_bias attention_dropout "
    "global_attn_every_n_layers local_attention local_rope_theta classifier_activation"
).split()
_DEFAULT_THETA = {"full_attention": 160_000.0, "sliding_attention": 10_000.0}  # of ModernBertConfig, both versions
_FLAT_THETA = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}
_EXPORT = "mmbert export writes it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an engine does with a checkpoint.

    Attributes:
        engine: Its name, with the version if it was run.
        loads: "yes"; "no"; "wrong" if it starts but computes something else; "unknown".
        why: The reason and the remedy, or what to know.
        basis: How we know: "ran", or which source was read.
    """

    engine: str
    loads: Loads
    why: str
    basis: str


@dataclass(frozen=True, slots=True)
class _Files:
    path: Path
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    tensors: frozenset[str]

    @property
    def architecture(self) -> str:
        return (architectures(self.config) or ["none"])[0]

    @property
    def is_stock(self) -> bool:
        return self.config.get("model_type") == "modernbert"

    def has(self, name: str) -> bool:
        return (self.path / name).exists()


def read_verdicts(checkpoint: Checkpoint) -> list[Verdict]:
    """Tell by the files what each engine will do.

    Args:
        checkpoint: An opened checkpoint.

    Returns:
        One verdict an engine, in the order of `READ`.
    """
    path = checkpoint.path / "tokenizer_config.json"
    files = _Files(
        checkpoint.path, checkpoint.config, read_json(path) if path.is_file() else {}, frozenset(checkpoint.tensors)
    )
    checks: dict[str, Callable[[_Files], Iterator[tuple[Loads, str]]]] = {
        "transformers 4": _transformers_4,
        "transformers 5": _transformers_5,
        "sentence-transformers": _sentence_transformers,
        "text-embeddings-inference": _text_embeddings_inference,
        "vLLM": _vllm,
        "llama.cpp": _llama_cpp,
        "transformers.js, openvino-tokenizers": _other_tokenizers,
        "ONNX Runtime": _onnx_runtime,
    }
    if int8_table(checkpoint.config) is not None:
        for engine in ("transformers 4", "text-embeddings-inference", "vLLM", "llama.cpp"):
            checks[engine] = _not_tried_in_int8
        for engine in ("transformers 5", "sentence-transformers"):
            checks[engine] = _widened
    return [_worst(engine, list(check(files))) for engine, check in checks.items()]


def _not_tried_in_int8(_: _Files) -> Iterator[tuple[Loads, str]]:
    yield "unknown", "int8 weights in the format of compressed-tensors were not tried there"


def _widened(_: _Files) -> Iterator[tuple[Loads, str]]:
    yield "yes", "needs compressed-tensors, which widens the int8 weights; mmbert runs them as they are"


def _worst(engine: str, found: list[tuple[Loads, str]]) -> Verdict:
    """Keep the findings that decide: all that say no, else all that say wrong, else all notes."""
    for kind in ("no", "wrong", "unknown", "yes"):
        reasons = [why for loads, why in found if loads == kind]
        if reasons:
            return Verdict(engine, kind, "; ".join(reasons), READ[engine])
    return Verdict(engine, "yes", "", READ[engine])


def _unknown_type(files: _Files) -> Iterator[tuple[Loads, str]]:
    if not files.is_stock:
        found = files.config.get("model_type")
        yield "no", f"model_type is {found!r}, not 'modernbert': {_EXPORT}"


def _absent_code(files: _Files) -> Iterator[tuple[Loads, str]]:
    """Say that a save by stock transformers kept `auto_map` and not the files that it names."""
    places = {str(place).split(".")[0] for place in (files.config.get("auto_map") or {}).values()}
    absent = sorted(place for place in places if "--" not in place and not files.has(f"{place}.py"))
    if absent:
        yield "yes", f"auto_map names {absent[0]}.py, which is absent: trust_remote_code=True fails; {_EXPORT}"


def _transformers_4(files: _Files) -> Iterator[tuple[Loads, str]]:
    yield from _unknown_type(files)
    yield from _absent_code(files)
    yield from _flat_keys(files)
    if files.tokenizer.get("tokenizer_class") in ("TokenizersBackend", "PythonBackend"):
        yield "no", f"tokenizer_class {files.tokenizer['tokenizer_class']!r} is version 5's: {_EXPORT} for both"
    if isinstance(files.tokenizer.get("extra_special_tokens"), list):
        yield "no", f"extra_special_tokens is a list, where version 4 needs a dict: {_EXPORT} for both"


def _flat_keys(files: _Files) -> Iterator[tuple[Loads, str]]:
    """What a reader of the flat keys alone makes of the layers: defaults where they are absent."""
    nested = files.config.get("rope_parameters") or {}
    for kind, flat in _FLAT_THETA.items():
        meant = (nested.get(kind) or {}).get("rope_theta", files.config.get(flat, _DEFAULT_THETA[kind]))
        read = files.config.get(flat, _DEFAULT_THETA[kind])
        if read != meant:
            yield "wrong", f"reads {flat} as {read:g} instead of {meant:g}: {_EXPORT}"
    layers = files.config.get("layer_types")
    period = int(files.config.get("global_attn_every_n_layers") or 3)
    if layers and layers != ["sliding_attention" if n % period else "full_attention" for n in range(len(layers))]:
        yield "wrong", f"takes one layer in {period} for global, which layer_types contradicts"


def _transformers_5(files: _Files) -> Iterator[tuple[Loads, str]]:
    yield from _unknown_type(files)
    yield from _absent_code(files)
    if not files.has("tokenizer.json"):
        yield "yes", "no tokenizer.json: give it token ids"


def _sentence_transformers(files: _Files) -> Iterator[tuple[Loads, str]]:
    yield from _unknown_type(files)
    if not files.has("tokenizer.json"):
        yield "no", "there is no tokenizer.json"
    if not files.has("modules.json"):
        yield "yes", "no modules.json: it adds mean pooling and says so"


def _text_embeddings_inference(files: _Files) -> Iterator[tuple[Loads, str]]:
    yield from _unknown_type(files)
    missing = [key for key in TEI_NEEDS if files.config.get(key) is None]
    if missing:
        yield "no", f"config.json lacks {', '.join(missing)}: {_EXPORT}"
    if isinstance(files.config.get("eos_token_id"), list):
        yield "no", "eos_token_id is a list, one number is needed"
    if not files.has("tokenizer.json"):
        yield "no", "there is no tokenizer.json"
    ignored = [key for key in ("norm_bias", "classifier_bias") if files.config.get(key)]
    if ignored:
        yield "wrong", f"leaves out the biases of {', '.join(ignored)}"
    kind = files.architecture
    if kind.endswith(("ForQuestionAnswering", "ForMultipleChoice", "ForTokenClassification")):
        yield "no", f"serves embeddings and sequence classification, not {kind}"
    elif kind.endswith("ForSequenceClassification"):
        labels = len(files.config.get("id2label") or {}) or 2
        if files.config.get("num_labels", 1) != labels:
            yield "no", f"takes num_labels for 1 where there are {labels}: {_EXPORT}"
    elif not files.has("1_Pooling/config.json"):
        yield "yes", "no 1_Pooling: it pools the first token unless started with --pooling mean"


def _vllm(files: _Files) -> Iterator[tuple[Loads, str]]:
    yield from _unknown_type(files)
    kind = files.architecture.removeprefix("ModernBert")
    if files.is_stock and kind not in ("Model", "ForSequenceClassification", "ForTokenClassification"):
        yield "no", f"has no {kind}; save AutoModel of it and export that, for the encoder"
    if kind == "Model" and any(name.startswith("model.") for name in files.tensors):
        yield "no", "tensors of a bare encoder must not begin with 'model.'"
    if files.config.get("hidden_activation", "gelu") != "gelu":
        yield "wrong", f"runs gelu in place of hidden_activation {files.config['hidden_activation']!r}"
    if files.config.get("layer_norm_eps") is None:
        yield "yes", "versions before 2026 need layer_norm_eps: " + _EXPORT
    yield "yes", "its default pooling is the first token; ask for mean"


def _llama_cpp(files: _Files) -> Iterator[tuple[Loads, str]]:
    yield from _unknown_type(files)
    if files.architecture.endswith(("ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")):
        yield "no", f"converts the encoder, masked LM and sequence classification, not {files.architecture}"
    if files.config.get("layer_norm_eps") is None:
        yield "no", f"config.json lacks layer_norm_eps: {_EXPORT}"
    if not files.has("tokenizer.json"):
        yield "no", "there is no tokenizer.json"
    elif not _is_byte_level(read_json(files.path / "tokenizer.json")):
        yield "no", "its converter stops at this tokenizer: mmbert export --format gguf writes the file"


def _other_tokenizers(files: _Files) -> Iterator[tuple[Loads, str]]:
    """Tell whether the cut into words is one that these engines run."""
    if not files.has("tokenizer.json"):
        yield "no", "there is no tokenizer.json"
        return
    cut = read_json(files.path / "tokenizer.json").get("pre_tokenizer")
    if portable_cut(cut) != cut:
        yield "wrong", f"ids differ at runs of blanks, as in indented code: {_EXPORT} with a cut that they know"


def _is_byte_level(tokenizer: dict[str, Any]) -> bool:
    parts = tokenizer.get("pre_tokenizer") or {}
    return any(part.get("type") == "ByteLevel" for part in [parts, *parts.get("pretokenizers", [])])


def _onnx_runtime(files: _Files) -> Iterator[tuple[Loads, str]]:
    if not any((files.path / place).is_file() for place in ("model.onnx", "onnx/model.onnx")):
        yield "no", "there is no ONNX file: mmbert export --format onnx"
    else:
        yield "unknown", "there is a file; it was not run"

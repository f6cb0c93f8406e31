"""Converts a Composer checkpoint of ModernBERT or mmBERT (FlexBERT's names) to the `modernbert` format.

The weights are the same tensors under other names, streamed to their new place; what decides whether the numbers are
too is the configuration: FlexBERT is a box of bricks, ModernBERT one building. Every brick that the YAML chooses is
compared with what ModernBERT is built of, and another choice is refused: it would load and compute something else.

The YAMLs repeat a value by `${name}`, as OmegaConf reads it; a whole value of that form is looked up here, so that
nothing more has to be installed.

Trade-off: Composer writes pickles, and a pickle can run code when it is read. torch's `weights_only` is a narrower
unpickler, still one, and this project loads none: the `.pt` file is refused, always, with the line that makes
safetensors of it where it is trusted.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ...common.checkpoints.format import PICKLES, SIDE_FILES, SINGLE, find_shards, read_header
from ...common.checkpoints.reader import Checkpoint, TensorInfo
from ...common.checkpoints.writer import CheckpointWriter
from ...common.files import copy_files, read_json, refuse_existing, write_json
from .convert import export_modernbert

NEEDED = (
    "num_hidden_layers hidden_size intermediate_size num_attention_heads rotary_emb_base sliding_window "
    "global_attn_every_n_layers head_pred_act hidden_act norm_kwargs"
).split()
_WORDS = ("head_pred_act", "hidden_act")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_DEPTH = 8  # references to references


_PIECE = 1 << 24  # elements read at once
_NAMES = ((r"_orig_mod\.", ""), (r"^bert\.encoder\.layers\.", "model.layers."), (r"^bert\.", "model."))
_FLEX_BERT = re.compile(r"(bert|head|decoder)\.")
# Bricks of FlexBERT that ModernBERT is built of, and FlexBertConfig's own defaults where a YAML may leave one out.
_BRICKS: dict[str, tuple[Any, ...]] = {
    "attention_layer": ("rope",),
    "bert_layer": ("prenorm",),
    "embedding_layer": ("sans_pos",),
    "mlp_layer": ("glu",),
    "normalization": ("layernorm", "triton_layernorm"),
    "embed_norm": (True,),
    "final_norm": (True,),
    "skip_first_prenorm": (True,),
    "head_pred_norm": (True,),
    "tie_word_embeddings": (True,),
    "rotary_emb_dim": (None,),
    "rotary_emb_scale_base": (None,),
    "rotary_emb_interleaved": (False,),
    "local_attn_rotary_emb_dim": (None,),
    "initial_attention_layer": (None,),
    "initial_bert_layer": (None,),
    "initial_mlp_layer": (None,),
}
_LEFT_OUT = {"head_pred_norm": True, "tie_word_embeddings": True, "rotary_emb_interleaved": False, "final_norm": True}
_TO_SAFETENSORS = (
    'where you trust it, run: python -c "import sys, torch, safetensors.torch as s; m = torch.load(sys.argv[1], '
    "'cpu', weights_only=False)['state']['model']; s.save_file({{k: v.clone() for k, v in m.items()}}, sys.argv[2])\" "
    "{path} {stem}.safetensors"
)
_TOKENS = ("pad", "eos", "bos", "cls", "sep", "mask")


def convert_composer(
    state: str | os.PathLike[str],
    config: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    code: bool = False,
) -> Path:
    """Write a Composer checkpoint's weights as a `modernbert` checkpoint, checked like every export.

    Args:
        state: The model's state dict as safetensors, a file or a folder of shards, with FlexBERT's names
            (`bert.encoder.layers.0.attn.Wqkv.weight`), with or without Composer's `model.` before them.
        config: The run's YAML with `model.model_config`, or a JSON of FlexBertConfig.
        output: Directory to make; it appears when it is complete.
        tokenizer: Folder with tokenizer.json, to go along.
        code: See `export_modernbert`.

    Returns:
        The output directory.

    Raises:
        FileNotFoundError: If a file is absent.
        ValueError: If the state is a pickle or damaged, has tensors that are missing or unknown, or the configuration
            chooses what ModernBERT is not built of; the message names it.
    """
    refuse_existing(output)
    source = _open_state(Path(state))
    fields = _modernbert_fields(Path(config), source)
    parent = Path(output).absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=parent, prefix=f".{Path(output).name}.", suffix=".partial")
    except OSError as error:
        raise ValueError(f"cannot write {output}: {error.strerror or error}; choose another place") from error
    with folder as name:
        directory = Path(name)
        try:
            _write_renamed(directory, source, tied=bool(fields["tie_word_embeddings"]))
            write_json(directory / "config.json", fields)
            if tokenizer is not None:
                _copy_tokenizer(Path(tokenizer), directory)
            return export_modernbert(directory, output, code=code)
        except ValueError as error:  # its messages name the folder that it was given
            told = str(error).replace(f"{directory}{os.sep}tokenizer", f"{tokenizer}{os.sep}tokenizer")
            raise ValueError(told.replace(str(directory), str(state))) from error
        except OSError as error:
            if error.errno is None:  # about a file that is not there, said in full already
                raise
            raise ValueError(f"cannot write {output}: {error.strerror}; nothing was left there") from error


def _open_state(path: Path) -> Checkpoint:
    if path.suffix in PICKLES:
        told = _TO_SAFETENSORS.format(path=path, stem=path.with_suffix(""))
        raise ValueError(f"{path} is a pickle, which can run code when opened; {told}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the state dict as safetensors")
    folder, files = (path, find_shards(path)[0]) if path.is_dir() else (path.parent, (path.name,))
    tensors: dict[str, TensorInfo] = {}
    for file in files:
        tensors |= read_header(folder / file)[0]
    if "model.layers.0.attn.Wqkv.weight" in tensors:
        raise ValueError(f"{path} has ModernBERT's names already; mmbert export takes it with its config.json")
    return Checkpoint(folder, {}, tensors, files, {file: {} for file in files})


def _new_name(name: str) -> str | None:
    """Return ModernBERT's name of a FlexBERT tensor; None for tables that are computed, not learnt."""
    name = name.removeprefix("state.model.")
    name = name.removeprefix("model.") if _FLEX_BERT.match(name.removeprefix("model.")) else name
    if name.endswith("rotary_emb.inv_freq"):
        return None
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _write_renamed(directory: Path, source: Checkpoint, *, tied: bool) -> None:
    """Stream the tensors under their new names into one file; a decoder that repeats the embedding is left out."""
    names = {old: new for old in source.tensors if (new := _new_name(old)) is not None}
    decoder = next((old for old, new in names.items() if new == "decoder.weight"), None)
    if tied and decoder is not None:
        table = next((old for old, new in names.items() if new == "model.embeddings.tok_embeddings.weight"), None)
        if table is not None:
            _require_equal(source, decoder, table)
        del names[decoder]
    tensors = {
        new: TensorInfo(
            new, source.tensors[old].dtype, source.tensors[old].shape, SINGLE, 0, source.tensors[old].nbytes
        )
        for old, new in names.items()
    }
    with CheckpointWriter(directory, Checkpoint(directory, {}, tensors, (SINGLE,), {SINGLE: {}})) as writer:
        for old, new in names.items():
            for start in range(0, source.tensors[old].numel, _PIECE):
                writer.write(new, start, source.read_flat(old, start, start + _PIECE))


def _require_equal(source: Checkpoint, decoder: str, table: str) -> None:
    one, other = source.tensors[decoder], source.tensors[table]
    same = one.shape == other.shape and all(
        source.read_flat(decoder, start, start + _PIECE).equal(source.read_flat(table, start, start + _PIECE))
        for start in range(0, one.numel, _PIECE)
    )
    if not same:
        raise ValueError(f"{source.path}: {decoder} differs from {table}, though the configuration ties them")


def _modernbert_fields(path: Path, source: Checkpoint) -> dict[str, Any]:
    """Say FlexBERT's configuration in ModernBERT's words."""
    loader, flex = read_run(path)
    _refuse_other_bricks(path, flex)
    biased = {new for old in source.tensors if (new := _new_name(old)) is not None and new.endswith(".bias")}
    layers = [f"model.layers.{number}" for number in range(flex["num_hidden_layers"])]
    local = flex.get("local_attn_rotary_emb_base")
    ids = {f"{name}_token_id": loader[f"{name}_token_id"] for name in _TOKENS if f"{name}_token_id" in loader}
    if "bos_token_id" in ids:
        ids.setdefault("cls_token_id", ids["bos_token_id"])
    return {
        **ids,
        "model_type": "modernbert",
        "architectures": ["ModernBertForMaskedLM"],
        "vocab_size": _vocabulary(path, flex, source),
        **{key: flex[key] for key in NEEDED[:4]},
        "hidden_activation": flex["hidden_act"],
        "classifier_activation": flex["head_pred_act"],
        "classifier_pooling": "mean",
        "max_position_embeddings": loader["dataset"].get("max_seq_len", 8192),
        "norm_eps": flex["norm_kwargs"].get("eps", 1e-5),
        "local_attention": flex["sliding_window"],
        "global_attn_every_n_layers": _period(path, flex),
        "global_rope_theta": float(flex["rotary_emb_base"]),
        "local_rope_theta": float(local if local not in (None, -1) else flex["rotary_emb_base"]),
        "norm_bias": "model.final_norm.bias" in biased,
        "attention_bias": f"{layers[0]}.attn.Wqkv.bias" in biased,
        "mlp_bias": f"{layers[0]}.mlp.Wi.bias" in biased,
        "classifier_bias": "head.dense.bias" in biased,
        "decoder_bias": "decoder.bias" in biased,
        "tie_word_embeddings": True,
    }


def _refuse_other_bricks(path: Path, flex: dict[str, Any]) -> None:
    for key, fitting in _BRICKS.items():
        found = flex.get(key, _LEFT_OUT.get(key, None if None in fitting else fitting[0]))
        if found not in fitting:
            raise ValueError(f"{path}: {key} is {found!r}; ModernBERT is built with {' or '.join(map(repr, fitting))}")
    for one, other in (("attn_qkv_bias", "attn_out_bias"), ("mlp_in_bias", "mlp_out_bias")):
        if bool(flex.get(one)) != bool(flex.get(other)):
            raise ValueError(f"{path}: {one} is {flex.get(one)} and {other} is not; ModernBERT has both or neither")


def _vocabulary(path: Path, flex: dict[str, Any], source: Checkpoint) -> int:
    """Return the rows of the embedding: the vocabulary, which FlexBERT pads to a multiple of 8."""
    rows = next((i.shape[0] for n, i in source.tensors.items() if n.endswith("embeddings.tok_embeddings.weight")), None)
    said = flex.get("vocab_size")
    if rows is not None and said is not None and rows not in (said, -(-said // 8) * 8):
        raise ValueError(f"{path}: vocab_size is {said}, the embedding has {rows} rows; they do not belong together")
    return int(rows or said or 0)


def _period(path: Path, flex: dict[str, Any]) -> int:
    period, window = flex["global_attn_every_n_layers"], flex["sliding_window"]
    if window <= 0:
        return 1
    if period <= 0:
        raise ValueError(f"{path}: no layer is global (global_attn_every_n_layers {period}); ModernBERT's first one is")
    return int(period)


def _copy_tokenizer(folder: Path, target: Path) -> None:
    if not (folder / "tokenizer.json").is_file():
        raise FileNotFoundError(f"{folder / 'tokenizer.json'} does not exist; give the folder of a tokenizer")
    copy_files(folder, target, [name for name in SIDE_FILES if name != "generation_config.json"])


def read_run(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a run's YAML and, in it, FlexBERT's configuration; a JSON is the configuration itself.

    Args:
        path: The file.

    Returns:
        Of the data loader the `..._token_id` and `dataset.max_seq_len`, where given; and the configuration.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is damaged, lacks a key, or a value is of another kind.
    """
    import yaml

    if path.suffix == ".json":
        raw: Any = read_json(path)
    elif not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the YAML that the run was started with")
    else:
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    run = raw if isinstance(raw, dict) else {}
    model = run.get("model")
    flex = (model.get("model_config") if isinstance(model, dict) else None) or raw
    flex = _looked_up(flex, run, path) if flex is not raw else flex
    if not isinstance(flex, dict) or (missing := [key for key in NEEDED if flex.get(key) is None]):
        told = ", ".join(missing) if isinstance(flex, dict) else "model.model_config"
        raise ValueError(f"{path}: lacks {told}; give the YAML that the run was started with")
    for key in NEEDED:
        kind: Any = str if key in _WORDS else dict if key == "norm_kwargs" else (int, float)
        if not isinstance(flex[key], kind):
            wanted = "word" if kind is str else "dict" if kind is dict else "number"
            raise ValueError(f"{path}: {key} is {flex[key]!r}; write a {wanted}")
    loader = run.get("train_loader")
    loader = loader if isinstance(loader, dict) else {}
    dataset = loader.get("dataset")
    length = {"max_seq_len": dataset["max_seq_len"]} if isinstance(dataset, dict) and "max_seq_len" in dataset else {}
    tokens = {key: value for key, value in loader.items() if str(key).endswith("_token_id")}
    return _looked_up({**tokens, "dataset": length}, run, path), flex


def _looked_up(value: Any, run: dict[str, Any], path: Path, depth: int = 0) -> Any:
    if isinstance(value, dict):
        return {key: _looked_up(inner, run, path, depth) for key, inner in value.items()}
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    target: Any = run
    for part in found[1].split("."):
        if not isinstance(target, dict) or part not in target or depth == _DEPTH:
            raise ValueError(f"{path}: {value} leads nowhere; write the value itself")
        target = target[part]
    return _looked_up(target, run, path, depth + 1)

"""Our network over the weights of a loaded stock ModernBERT: the same modules, another way through them.

Shared are the modules that hold weights (table, linear layers, norms) and not only their tensors. So an optimizer step,
`.to()`, a hook or a frozen weight on one side is seen on the other, and what PEFT or a quantiser put in the place of a
linear layer comes along.

Trade-off: who replaces a module afterwards, as PEFT does, replaces it in one of the two networks. Wrap first, share
then; or share, drop the stock network and wrap ours.
"""

import logging
from itertools import chain
from typing import Any, TypeVar, cast

import torch
from torch import nn
from transformers import ModernBertModel, ModernBertPreTrainedModel, PreTrainedModel

from .attention_backends import is_flash
from .configuration_mmbert import SLIDING, MmBertConfig
from .layers import rotary_frequencies

Encoder = TypeVar("Encoder", bound=PreTrainedModel)

_log = logging.getLogger(__name__)

# Fields of a stock configuration that say what the file is and not what the network is.
_NOT_OF_THE_NETWORK = ("model_type", "architectures", "auto_map", "transformers_version", "sparse_prediction")
# What transformers writes on a model, beside its configuration, when it loads an adapter or quantises.
_LOADERS_NOTES = ("peft_config", "_hf_peft_config_loaded", "hf_quantizer", "is_quantized", "quantization_method")


def share_modernbert(model: nn.Module, network: type[Encoder]) -> Encoder:
    """Build our encoder from a stock one's modules, with its dtype, device, mode and attention; ours is returned."""
    encoder = model.model if isinstance(model, ModernBertPreTrainedModel) and hasattr(model, "model") else model
    if isinstance(encoder, network):
        return encoder
    if not isinstance(encoder, ModernBertModel):
        raise ValueError(_no_modernbert(model))
    _refuse_unfit(encoder)
    config = _translated(encoder)
    _refuse_drift(encoder, config)
    with torch.device("meta"):
        ours = network(config)
    # Before the modules are shared: a LoRA layer among them keeps the mode it has.
    ours.train(encoder.training)
    _put_in(ours, encoder)
    config._attn_implementation = _attention_of(encoder)
    for to, source in zip((ours, *cast(Any, ours.layers)), (encoder, *encoder.layers), strict=True):
        for name in ("gradient_checkpointing", "_gradient_checkpointing_func", *_LOADERS_NOTES):
            if name in vars(source):
                setattr(to, name, getattr(source, name))
    return ours


def _no_modernbert(model: object) -> str:
    """Say what was given and which line was probably meant."""
    kind = type(model).__name__
    line = "give a ModernBertModel or a ModernBertFor..."
    if hasattr(model, "get_base_model"):
        line = "PEFT wraps the network: give model.get_base_model()"
    elif isinstance(model, nn.Sequential):
        line = "write model[0].model = MmBertModel.from_modernbert(model[0].model)"
    elif hasattr(model, "preprocess"):
        line = "write pipe.model.model = MmBertModel.from_modernbert(pipe.model.model)"
    elif hasattr(model, "_orig_mod") or hasattr(model, "module"):
        line = "give the network itself, before torch.compile or a data-parallel class wraps it"
    return f"{kind} is no stock ModernBERT; {line}"


def _refuse_unfit(encoder: ModernBertModel) -> None:
    """Refuse a network whose weights are not here, or that runs through something else than its own forward."""
    kind = type(encoder)
    if kind.forward is not ModernBertModel.forward or "forward" in vars(encoder):
        raise ValueError(
            f"the forward of this {kind.__name__} is not stock ModernBERT's; share the network before accelerate or "
            "other code replaces its forward"
        )
    tensors = list(chain(encoder.parameters(), encoder.buffers()))
    if any(hasattr(tensor, "device_mesh") for tensor in tensors):  # torch's DTensor, whose import costs a second
        raise ValueError("the weights are sharded over processes; share the network before FSDP or tensor parallelism")
    devices = sorted({str(tensor.device) for tensor in tensors})
    if devices != [devices[0]] or devices[0] == "meta":
        raise ValueError(f"the weights are on {', '.join(devices)}; load the model on one device, without offloading")


def _translated(encoder: ModernBertModel) -> MmBertConfig:
    """Return our configuration of the network as it is, also if layers were cut off or tokens were added."""
    fields: dict[str, Any] = encoder.config.to_dict()
    for name in _NOT_OF_THE_NETWORK:
        fields.pop(name, None)
    fields["num_hidden_layers"] = len(encoder.layers)
    fields["layer_types"] = [layer.attention_type for layer in encoder.layers]
    fields["vocab_size"] = encoder.get_input_embeddings().weight.shape[0]
    config = MmBertConfig(**fields)
    config.name_or_path = encoder.config.name_or_path
    return config


def _refuse_drift(encoder: ModernBertModel, config: MmBertConfig) -> None:
    """Refuse a configuration that was changed after stock had read it: stock kept the old values, ours would not."""
    for kind in dict.fromkeys(config.layer_types or []):
        used = getattr(encoder.rotary_emb, f"{kind}_inv_freq")
        said, _ = rotary_frequencies(config, kind, used.device)
        # Wide enough for frequencies that a cast of the whole model has rounded to bf16.
        if not torch.allclose(used.float(), said, rtol=1e-2):
            raise ValueError(
                f"rope_parameters of {kind} were changed after the model was built and have no effect on it; "
                "load the model with them instead"
            )
    half_window = config.local_attention // 2
    layers: Any = encoder.layers
    windows = {layer.attn.sliding_window for layer in layers if layer.attention_type == SLIDING}
    if windows - {half_window + 1}:
        raise ValueError(
            f"local_attention was changed to {config.local_attention} after the model was built and has no effect on "
            "it; load the model with it instead"
        )


def _put_in(ours: Any, encoder: ModernBertModel) -> None:
    """Put stock's modules where ours hold weights, and see that none is left over."""
    for name, module in list(ours.named_modules()):
        if next(module.parameters(recurse=False), None) is not None:
            parent, _, child = name.rpartition(".")
            setattr(ours.get_submodule(parent), child, encoder.get_submodule(name))
    shared = {id(parameter) for parameter in ours.parameters()}
    for name, parameter in encoder.named_parameters():
        if id(parameter) not in shared:
            raise ValueError(f"the model has a weight {name!r}, which ModernBERT has not; share it before it is added")


def _attention_of(encoder: ModernBertModel) -> str:
    """Return stock's attention implementation if it is one of ours, else sdpa."""
    name: str = encoder.config._attn_implementation or "sdpa"
    if name in ("sdpa", "eager") or is_flash(name):
        return name
    _log.warning("attn_implementation %r is not one of mmBERT's; sdpa takes its place, with the same numbers", name)
    return "sdpa"

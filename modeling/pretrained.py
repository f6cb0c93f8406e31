"""What the encoder and its heads share as models of transformers: loading, initialisation, compilation, flags."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import can_return_tuple

from .configuration_mmbert import MmBertConfig
from .layers import initialise

Forward = TypeVar("Forward", bound=Callable[..., Any])


def returns_output(forward: Forward) -> Forward:
    """Let `forward` give its output as a tuple when the caller or the configuration says `return_dict=False`."""
    return cast(Forward, can_return_tuple(forward))


class MmBertPreTrainedModel(PreTrainedModel):
    """What the encoder and its heads share: loading, initialisation, the flags that transformers reads."""

    config: MmBertConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["MmBertEncoderLayer"]  # noqa: RUF012 - transformers' class attribute
    _supports_flash_attn = True
    _supports_sdpa = True

    @classmethod
    def from_pretrained(cls, *args: Any, use_safetensors: bool | None = None, **kwargs: Any) -> Any:
        """Load a checkpoint of type `mmbert` or `modernbert`; see `PreTrainedModel.from_pretrained`.

        Args:
            *args: The directory or Hub id first.
            use_safetensors: True or None. Pickled weights are never read.
            **kwargs: As for every transformers model, `attn_implementation` and `dtype` among them.

        Returns:
            The model, in evaluation mode and in the checkpoint's dtype.

        Raises:
            ValueError: If `use_safetensors` is False, or the directory has pickled weights only.
        """
        if use_safetensors is False or _is_pickled(args[0] if args else kwargs.get("pretrained_model_name_or_path")):
            raise ValueError(
                "pytorch_model.bin is a pickle, which can run any code when read; save the model with safetensors "
                "(model.save_pretrained does) where the file is trusted, and load that"
            )
        return super().from_pretrained(*args, use_safetensors=True, **kwargs)

    def compile(self, *, dynamic: bool | None = True, **options: Any) -> None:
        """Compile what works on each token alone, once for all layers; padding, lengths and attention stay as they are.

        Unlike `torch.compile(model)`, which also works, this keeps the removal of padding and the attention kernels of
        the processor, and takes seconds, at the first call. On a CPU it needs a C++ compiler.

        Args:
            dynamic: Expect any number of tokens.
            **options: For `torch.compile`.
        """
        for layer in cast(Any, self.base_model).layers:
            layer.compile(dynamic=dynamic, **options)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config)


def _is_pickled(checkpoint: Any) -> bool:
    """Return True for a directory whose only weights are pickles."""
    folder = Path(checkpoint) if isinstance(checkpoint, str | Path) else None
    if folder is None or not folder.is_dir() or any(folder.glob("*.safetensors")):
        return False
    return any(folder.glob("pytorch_model*.bin"))


__all__ = ["MmBertPreTrainedModel"]

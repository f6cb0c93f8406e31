"""Configuration of the mmBERT encoder: ModernBERT's fields with the numbers of mmBERT-base.

Numbers come from the released `jhu-clsp/mmBERT-base` and `-small` config.json and from the training YAMLs of
arXiv 2509.06888 (hidden sizes 768 and 384; 1152 is the MLP width of both; 160,000 is the theta of global and local RoPE
alike, where ModernBERT has 10,000 for the local layers).

Trade-off: transformers 4 reads flat keys (`global_rope_theta`, ...), transformers 5 nested ones (`rope_parameters`).
A saved file carries both, so it has three redundant keys; without them transformers 4 silently runs the local layers
with theta 10,000. Where they disagree the nested keys win.
"""

from copy import deepcopy
from typing import Any, Final, Literal

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import ModernBertConfig

from .int8_format import METHOD, int8_table

FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"


@strict
class MmBertConfig(ModernBertConfig):
    """Shape and constants of an mmBERT model; the defaults are mmBERT-base (306,939,648 parameters without a head).

    Every field of `transformers.ModernBertConfig` is accepted, in the nested and in the old flat spelling.
    `layer_types` follows `num_hidden_layers` and `global_attn_every_n_layers`, also when these change later.

    Args:
        mask_token_id: Id of the mask token.
        sparse_prediction: Score masked positions only when labels are given; the output then has no logits, but in an
            evaluation without gradients.
        global_attn_every_n_layers: Layer i sees the whole sequence when i is a multiple of this, else a window of
            `local_attention` tokens around each position.

    Raises:
        ValueError: If a size is not positive or does not divide as it must.
    """

    model_type = "mmbert"
    default_theta = {"global": 160_000.0, "local": 160_000.0}  # noqa: RUF012 - transformers' class attribute

    vocab_size: int = 256_000
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    # The released config says 1 for both although its tokenizer's <cls> is <bos> = 2; the network reads neither.
    cls_token_id: int | None = 1
    sep_token_id: int | None = 1
    mask_token_id: int | None = 4
    classifier_pooling: Literal["cls", "mean"] = "mean"
    sparse_prediction: bool = True
    global_attn_every_n_layers: int = 3

    @classmethod
    def small(cls, **overrides: Any) -> "MmBertConfig":
        """Return the configuration of mmBERT-small: width 384, 6 heads, otherwise mmBERT-base.

        Args:
            **overrides: Any field, to replace its value.

        Returns:
            The configuration (140,493,696 parameters without a head).
        """
        return cls(**{"hidden_size": 384, "num_attention_heads": 6, **overrides})

    def __post_init__(self, **kwargs: Any) -> None:
        _refuse_impossible_sizes(self)
        # The parent fills defaults into the caller's dict; two configurations must not share one.
        self.rope_parameters = deepcopy(self.rope_parameters)
        if self.layer_types is None:
            self.layer_types = _layer_pattern(self.num_hidden_layers, self.global_attn_every_n_layers)
        elif (period := _period(self.layer_types, self.global_attn_every_n_layers)) is not None:
            self.global_attn_every_n_layers = period
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)  # type: ignore[no-untyped-call]
        if not self.__dict__.get("_post_init_done"):
            return
        if name == "num_hidden_layers":
            tail = _layer_pattern(value, self.global_attn_every_n_layers)[len(self.layer_types or []) :]
            self.layer_types = [*(self.layer_types or [])[:value], *tail]
        elif name == "global_attn_every_n_layers":
            self.layer_types = _layer_pattern(self.num_hidden_layers, value)

    @property
    def global_rope_theta(self) -> float:
        """Base of the rotary angles in the layers that see everything; settable between training phases."""
        return self._theta(FULL)

    @global_rope_theta.setter
    def global_rope_theta(self, value: float) -> None:
        self._set_theta(FULL, value)

    @property
    def local_rope_theta(self) -> float:
        """Base of the rotary angles in the layers that see a window; settable between training phases."""
        return self._theta(SLIDING)

    @local_rope_theta.setter
    def local_rope_theta(self, value: float) -> None:
        self._set_theta(SLIDING, value)

    def _theta(self, layer_type: Literal["full_attention", "sliding_attention"]) -> float:
        return float((self.rope_parameters or {})[layer_type]["rope_theta"])

    def _set_theta(self, layer_type: Literal["full_attention", "sliding_attention"], value: float) -> None:
        if not value > 0:
            raise ValueError(f"RoPE theta must be positive, got {value}; mmBERT trains with 10000, then 160000")
        (self.rope_parameters or {})[layer_type]["rope_theta"] = float(value)

    def to_dict(self) -> dict[str, Any]:
        """Return every field, in the flat spelling of transformers 4 beside the nested one of transformers 5."""
        fields: dict[str, Any] = super().to_dict()  # type: ignore[no-untyped-call]
        if self.rope_parameters:
            fields |= {"global_rope_theta": self.global_rope_theta, "local_rope_theta": self.local_rope_theta}
        if self.layer_types != _layer_pattern(self.num_hidden_layers, self.global_attn_every_n_layers):
            fields.pop("global_attn_every_n_layers", None)  # no period describes these layers
        return fields

    @classmethod
    def from_pretrained(cls, place: Any, *args: Any, **kwargs: Any) -> "MmBertConfig":  # type: ignore[override]
        """Read config.json as transformers does; a field of another type is refused in one line that names the file."""
        try:
            found: MmBertConfig = super().from_pretrained(place, *args, **kwargs)
        except (StrictDataclassError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            told = " ".join(str(error).split())[:300]
            raise ValueError(f"config.json of {place} cannot be used ({told}); restore it") from error
        return found

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read config.json; one of `modernbert`, or with our int8 weights, becomes ours; the rest is ModernBERT's."""
        fields, unused = super().get_config_dict(*args, **kwargs)
        if fields.get("model_type") == ModernBertConfig.model_type:
            defaults = ModernBertConfig(**deepcopy(fields)).to_dict()
            # Sparse prediction changes no number, only what is returned beside the loss: ours stays the default.
            defaults.pop("sparse_prediction")
            fields = {**defaults, **fields, "model_type": cls.model_type}
            fields["rope_parameters"] = defaults["rope_parameters"]
        if (table := int8_table(fields)) is not None:
            fields["quantization_config"] = {"quant_method": METHOD, "table": table}
        return fields, unused


def _layer_pattern(num_layers: int, period: int) -> list[str]:
    return [SLIDING if index % period else FULL for index in range(num_layers)]


def _period(layer_types: list[str], preferred: int) -> int | None:
    """Every how many layers one is global: `preferred` if that fits, else the smallest that does, else None."""
    candidates = (preferred, *range(1, len(layer_types) + 1))
    return next((n for n in candidates if layer_types == _layer_pattern(len(layer_types), n)), None)


def _refuse_impossible_sizes(config: MmBertConfig) -> None:
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.hidden_size % (2 * config.num_attention_heads):
        raise ValueError(
            f"hidden_size {config.hidden_size} must be an even multiple of num_attention_heads "
            f"{config.num_attention_heads}: RoPE turns pairs of channels in every head"
        )
    if config.local_attention < 2 or config.local_attention % 2:
        raise ValueError(f"local_attention must be even and at least 2, got {config.local_attention}; mmBERT has 128")
    if config.global_attn_every_n_layers < 1:
        raise ValueError(f"global_attn_every_n_layers must be at least 1, got {config.global_attn_every_n_layers}")


__all__ = ["MmBertConfig"]

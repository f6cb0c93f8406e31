"""What config.json says of int8 weights on disk, in the words of compressed-tensors, which other libraries read too.

    weight (rows, columns) int8, weight_scale (rows, 1) fp32: a row of a matrix or of the table is their product

Stock transformers opens such a folder where the package compressed-tensors is installed (it widens the weights), and
asks for that package where it is not. Our network runs the integers as they are; in memory the entry therefore has a
method of its own, so that transformers looks for our reader. Only what we write is taken, other schemes of
compressed-tensors are left to that package.
"""

from typing import Any

METHOD = "mmbert-int8"
SCALE = "weight_scale"
DECODER = "decoder"  # of a masked LM: it is the embedding table, and both stay as they are
_WEIGHTS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
_TOKENS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
_KIND = "int-quantized"


def int8_fields(*, table: bool) -> dict[str, Any]:
    """Return the `quantization_config` of int8 matrices, and of an int8 embedding table if there is one."""
    groups: dict[str, Any] = {"matrices": {"targets": ["Linear"], "weights": _WEIGHTS, "input_activations": _TOKENS}}
    if table:
        groups["table"] = {"targets": ["Embedding"], "weights": _WEIGHTS}
    return {
        "quant_method": "compressed-tensors",
        "format": _KIND,
        "quantization_status": "compressed",
        "config_groups": {name: {**group, "format": _KIND} for name, group in groups.items()},
        "ignore": [] if table else [DECODER],
    }


def int8_table(config: dict[str, Any]) -> bool | None:
    """Say of a config.json with int8 weights of ours whether its embedding table is int8 too; None of any other."""
    said = config.get("quantization_config")
    return next((table for table in (True, False) if said == int8_fields(table=table)), None)

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file


@pytest.fixture
def save_checkpoint(tmp_path):
    """Write tensors as a checkpoint directory with the safetensors library itself, in one file or in several."""

    def save(name, tensors, shards=1, **config):
        directory = tmp_path / name
        directory.mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps({"model_type": "modernbert", **config}))
        if shards == 1:
            save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
            return directory
        names = list(tensors)
        places = {}
        for shard in range(shards):
            file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            save_file({n: tensors[n] for n in names[shard::shards]}, directory / file, metadata={"format": "pt"})
            places |= dict.fromkeys(names[shard::shards], file)
        index = {"metadata": {}, "weight_map": places}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
        return directory

    return save


@pytest.fixture
def load_tensors():
    """Read a checkpoint directory with the safetensors library itself."""

    def load(directory):
        tensors = {}
        for file in sorted(Path(directory).glob("*.safetensors")):
            tensors |= load_file(file)
        return tensors

    return load


@pytest.fixture
def make_models():
    """Random base and variants: rounded to a grid so that many magnitudes are equal, some entries unmoved."""

    def make(count=3, seed=0, grid=None, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        shapes = {
            "model.embeddings.tok_embeddings.weight": (40, 6),
            "model.layers.0.mlp.Wi.weight": (17, 6),
            "model.layers.10.mlp.Wi.weight": (17, 6),
            "model.layers.2.attn_norm.weight": (6,),
            "head.dense.weight": (6, 6),
            "decoder.bias": (40,),
        }

        def draw(shape, step):
            values = torch.randn(shape, generator=generator)
            return (values / step).round() * step if step else values

        base = {name: draw(shape, grid and grid * 4).to(dtype) for name, shape in shapes.items()}
        variants = []
        for _ in range(count):
            moved = {}
            for name, tensor in base.items():
                change = draw(tensor.shape, grid) * (torch.rand(tensor.shape, generator=generator) > 0.2)
                moved[name] = (tensor.float() + 0.1 * change).to(dtype) if not grid else (tensor + change).to(dtype)
            variants.append(moved)
        return base, variants

    return make

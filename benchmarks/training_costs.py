"""What a pre-training run costs, from first principles: operations, memory, traffic. No clock is read here.

Operations count what a masked-LM step needs: two for every weight of a matrix and token, four for every channel and key
that a token sees, twice as much again for the backward pass, and the decoder for masked tokens only. Norms, softmax,
rotations and the optimizer count nothing; what they cost is in the share of the peak that a run reaches (MFU).

Bytes are those of training under bf16 autocast as `MlmTrainer` does it: weights, gradients and both moments in fp32.
Letters: h width, I inner width, V words, T tokens of a micro-batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mmbert import MmBertConfig, Recipe
from mmbert.evaluation.efficiency.flops import EncoderShape, useful_flops

# Of the published run (arXiv 2509.06888 section 3 and the released YAMLs): the decay is trained three times.
ROWS = 4608
GIGA = 1e9
LOGITS = 256 * 2**20  # bytes of a chunk of logits: mmbert.modeling.linear_cross_entropy.CHUNK_BYTES
STATE_BYTES = {"weights": 4, "gradients": 4, "StableAdamW moments": 8}  # a parameter, in fp32
AUTOCAST_BYTES = 2  # the bf16 copy of a weight that autocast keeps until the step ends
BUCKET_BYTES = 4  # DDP's buckets hold every gradient once more (gradient_as_bucket_view is off)
OPTIMIZER_TRAFFIC = 60  # bytes a parameter that one step reads and writes: four tensors, in a handful of kernels


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase as far as it costs something.

    Attributes:
        name: Of the phase.
        tokens: Tokens it reads, once.
        context: Length of its sequences; attention is counted as if all were full.
        masked: Share of tokens to predict.
        runs: How often it is trained: once, or for every decay variant.
        rows: Sequences of one optimizer step.
    """

    name: str
    tokens: float
    context: int
    masked: float
    runs: int = 1
    rows: int = ROWS

    @property
    def steps(self) -> float:
        """Optimizer steps over all runs."""
        return self.runs * self.tokens / (self.rows * self.context)


PUBLISHED = (
    Stage("pretrain", 2.3e12, 1024, 0.30),
    Stage("midtrain", 600e9, 8192, 0.15),
    Stage("decay", 100e9, 8192, 0.05, runs=3),
)


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages of any recipe; its variants take the place of the last phase."""
    phases = [*recipe.schedule().phases, *recipe.variants.values()]
    return tuple(
        Stage(phase.name, phase.tokens, phase.context_length, phase.masking_ratio, rows=phase.batch_rows)
        for phase in phases
    )


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator and its wires; the numbers of a data sheet, in operations and bytes a second, one direction.

    Attributes:
        name: What it is called.
        flops: Dense bf16 operations a second.
        memory: Bytes of memory.
        memory_rate: Bytes a second from memory.
        inside_rate: Bytes a second to the other devices of a node.
        outside_rate: Bytes a second to other nodes, for each device.
        a_node: Devices of one node.
        attained: Share of the three rates that is reached in practice; an assumption.
    """

    name: str
    flops: float
    memory: float
    memory_rate: float
    inside_rate: float
    outside_rate: float
    a_node: int = 8
    attained: float = 0.7


# NVIDIA's data sheet of the H100 SXM: 989 TFLOP/s without sparsity, 80 GB at 3.35 TB/s, NVLink 900 GB/s in both
# directions together; a DGX H100 has one 400 Gb/s port of InfiniBand for each of its eight GPUs.
H100 = Device("H100 SXM", 989.4e12, 80e9, 3.35e12, 450e9, 50e9)


def parameters(config: MmBertConfig) -> int:
    """Count the parameters of the masked LM: encoder, head, decoder's bias; the decoder's table is the embedding's."""
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    layer = 4 * width * width + 3 * width * inner
    norms = width * (2 * layers - 1 + 2)  # the first layer does not normalise before attention
    head = width * width + width + config.vocab_size
    return config.vocab_size * width + layers * layer + norms + head


def flops_a_token(config: MmBertConfig, context: int, masked: float) -> float:
    """Count the operations of training on one token, forward and backward.

    Args:
        config: The network.
        context: Tokens of the sequence in which it stands.
        masked: Share of tokens that are predicted.

    Returns:
        Operations; a multiply and an add are two.
    """
    encoder = useful_flops(EncoderShape.of(config), [context]) / context
    decoder = 2 * config.hidden_size * (config.hidden_size + config.vocab_size)
    return 3 * (encoder + masked * decoder)


def flops_of(config: MmBertConfig, stages: Iterable[Stage]) -> float:
    """Count the operations of a whole run."""
    return sum(s.runs * s.tokens * flops_a_token(config, s.context, s.masked) for s in stages)


def implied_mfu(config: MmBertConfig, stages: Iterable[Stage], device: Device, devices: int, days: float) -> float:
    """Return the share of the devices' peak that a run of so many days used."""
    return flops_of(config, stages) / (device.flops * devices * days * 86_400)


def activation_bytes(config: MmBertConfig, masked: float) -> dict[str, float]:
    """Count the bytes that forward keeps for backward, a token, under bf16 autocast.

    Args:
        config: The network.
        masked: Share of tokens that are predicted.

    Returns:
        `layer`: one layer's. `stream`: what it keeps if it is computed again in backward. `ends`: embeddings, last
        norm, head.
    """
    width, inner = config.hidden_size, config.intermediate_size
    # Both norms read the stream in fp32 (4 bytes), both first products their output in bf16 (2); queries, keys, values
    # and what the heads return; GeGLU's input, twice as wide, and its output.
    layer = 2 * (4 + 2) * width + 2 * (3 + 1) * width + 2 * 3 * inner
    return {"layer": layer, "stream": 4 * width, "ends": (8 + 14 * masked) * width}


def memory_a_device(
    config: MmBertConfig, stage: Stage, tokens: int, devices: int, *, sharded: bool, checkpointing: bool
) -> dict[str, float]:
    """Count the bytes of memory that one device needs.

    Args:
        config: The network.
        stage: Whose masking counts.
        tokens: Tokens of a micro-batch.
        devices: Devices that share the weights' states if they are sharded.
        sharded: FSDP2 instead of DDP.
        checkpointing: Keep the stream between layers only.

    Returns:
        Bytes by what they are for, and `all`.
    """
    count = parameters(config)
    part = devices if sharded else 1
    kept = activation_bytes(config, stage.masked)
    layers = config.num_hidden_layers
    # A sharded layer is whole while it computes; of all of them the embedding table is the largest.
    whole = 4 * config.vocab_size * config.hidden_size if sharded else BUCKET_BYTES * count
    a_token = kept["stream"] * layers + kept["layer"] if checkpointing else kept["layer"] * layers
    found = {name: size * count / part for name, size in STATE_BYTES.items()}
    found["gathered table" if sharded else "DDP buckets"] = whole
    found["bf16 copies"] = AUTOCAST_BYTES * count / part
    found["activations"] = tokens * (a_token + kept["ends"])
    # A chunk of logits, and the table's gradient while it is summed.
    found["logits"] = LOGITS + 4 * config.vocab_size * config.hidden_size
    return {**found, "all": sum(found.values())}


def all_reduce_seconds(config: MmBertConfig, device: Device, devices: int) -> float:
    """Return how long summing the fp32 gradients over all devices takes, once a step.

    Every device sends and receives 2 (n - 1) / n of them (a ring); between nodes the rings of a node share its ports.
    """
    size = 4 * parameters(config) * 2 * (devices - 1) / devices
    wires = device.inside_rate
    if devices > device.a_node:
        wires = min(wires, device.a_node * device.outside_rate)
    return size / (device.attained * wires)


def exposed_seconds(config: MmBertConfig, device: Device, devices: int) -> float:
    """Return the part of the sum that nothing hides: the embedding table's, whose gradient is the last to be ready."""
    share = config.vocab_size * config.hidden_size / parameters(config)
    return share * all_reduce_seconds(config, device, devices)


def optimizer_seconds(config: MmBertConfig, device: Device) -> float:
    """Return how long StableAdamW's step takes: it is bound by memory, and under DDP every device makes all of it."""
    return OPTIMIZER_TRAFFIC * parameters(config) / (device.attained * device.memory_rate)


@dataclass(frozen=True, slots=True)
class Timing:
    """One optimizer step, in seconds.

    Attributes:
        compute: Forward and backward.
        exposed: Waiting for gradients of other devices.
        optimizer: Moving the weights.
    """

    compute: float
    exposed: float
    optimizer: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.compute + self.exposed + self.optimizer


def step_time(config: MmBertConfig, stage: Stage, device: Device, devices: int, mfu: float) -> Timing:
    """Return what one optimizer step takes on so many devices.

    Args:
        config: The network.
        stage: Context, masking, rows.
        device: On what.
        devices: How many.
        mfu: Share of the peak that forward and backward reach.

    Returns:
        The step.
    """
    flops = stage.rows * stage.context * flops_a_token(config, stage.context, stage.masked)
    return Timing(
        flops / (devices * device.flops * mfu),
        exposed_seconds(config, device, devices),
        optimizer_seconds(config, device),
    )


def days(config: MmBertConfig, stages: Iterable[Stage], device: Device, devices: int, mfu: float) -> float:
    """Return how long a run takes, in days."""
    return sum(s.steps * step_time(config, s, device, devices, mfu).seconds for s in stages) / 86_400

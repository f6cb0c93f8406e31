"""A run in processes of its own, by torchrun if it has ranks; the fixture `start` runs `rank_worker.py FOLDER JOB...`.

FOLDER holds recipe.yaml, tokenizer/ and train/. A job is NAME:STOP:FROM: train into FOLDER/NAME until step STOP, going
on from FOLDER/FROM's last checkpoint if FROM is given. With JOB `fsdp` first, the ranks shard the model by FSDP2; with
training arguments as JSON first, all jobs have them.
"""

import json
import sys
from pathlib import Path

import torch
from mmbert import MlmTrainer, Recipe
from mmbert.data import MlmStream, TokenShards
from mmbert.data.pretraining.heldout import HeldOut
from mmbert.trainers import training_arguments
from mmbert.trainers.checkpointing.paths import last_checkpoint
from mmbert.trainers.checkpointing.trainer import NonFiniteLoss
from mmbert.trainers.pretraining.run import build_model
from transformers import AutoTokenizer, TrainerCallback


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


class Poison(TrainerCallback):
    """Breaks the network of the last rank alone before a step."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.step and args.process_index == args.world_size - 1:
            next(model.parameters()).data.fill_(float("nan"))


class Layout(TrainerCallback):
    """Writes down how the parameters lie while the model trains."""

    def on_train_begin(self, args, state, control, model=None, optimizer=None, **kwargs):
        from torch.distributed.tensor import DTensor

        self.sharded = {
            name: [isinstance(p, DTensor), list(getattr(p, "to_local", lambda p=p: p)().shape), list(p.shape)]
            for name, p in model.named_parameters()
        }
        bare = optimizer.optimizer
        self.moved = sum(isinstance(p, DTensor) for group in bare.param_groups for p in group["params"])
        self.classes = sorted({type(module).__name__ for module in model.modules()})


def let_accelerate_shard_on_a_cpu():
    """accelerate takes FSDP for a thing of GPUs and drops the plugin on a CPU; nothing but that choice is changed."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    original = AcceleratorState.__init__

    def with_fsdp(self, *args, fsdp_plugin=None, **kwargs):
        original(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.fsdp_plugin, self.distributed_type = fsdp_plugin, DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = with_fsdp


def job(folder, name, stop, source, options):
    recipe = Recipe.from_yaml(folder / "recipe.yaml")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    stream = MlmStream(recipe, TokenShards(folder / "train"), tokenizer, variant="decay-all")
    layout = Layout()
    fixed = {"use_cpu": True, "logging_steps": 1, "save_steps": 5, "eval_on_start": not source}  # as a recipe's run
    options = {**fixed, **options}
    poison = [Poison(step)] if (step := options.pop("poison", None)) else []
    trainer = MlmTrainer(
        model=build_model(recipe, len(tokenizer)),
        args=training_arguments(recipe, stream.schedule, folder / name, **options),
        train_dataset=stream,
        eval_dataset=HeldOut(TokenShards(folder / "train"), tokenizer, context_length=32, tokens_per_language=100),
        processing_class=tokenizer,
        callbacks=[StopAt(stop), layout, *poison],
    )
    try:
        trainer.train(resume_from_checkpoint=str(last_checkpoint(folder / source)) if source else None)
    except NonFiniteLoss as error:
        (folder / name / f"said-{trainer.args.process_index}").write_text(str(error))
        return trainer
    weights, tokens_read = trainer.whole_weights(), trainer.tokens_read()
    if trainer.is_world_process_zero():
        trainer.model.save_pretrained(folder / name / "final", state_dict=weights)
        facts = {
            "ranks": trainer.args.world_size,
            "history": [entry for entry in trainer.state.log_history if "loss" in entry],
            "evaluated": [entry for entry in trainer.state.log_history if "eval_loss" in entry],
            "tokens_read": tokens_read.tolist(),
            "layout": layout.sharded,
            "moved": layout.moved,
            "classes": layout.classes,
        }
        (folder / name / "facts.json").write_text(json.dumps(facts))
    trainer.accelerator.wait_for_everyone()
    return trainer


def main():
    torch.set_num_threads(1)
    folder, jobs = Path(sys.argv[1]), sys.argv[2:]
    options = {}
    if jobs[0] == "fsdp":
        let_accelerate_shard_on_a_cpu()
        options = {"fsdp": True, "fsdp_config": {"version": 2, "reshard_after_forward": True}}
        jobs = jobs[1:]
    elif jobs[0].startswith("{"):
        options, jobs = json.loads(jobs[0]), jobs[1:]
    for text in jobs:
        name, stop, source = text.split(":")
        trainer = job(folder, name, int(stop), source, options)
    trainer.accelerator.end_training()


if __name__ == "__main__":
    main()

"""Loss at the fixed masking ratio, language by language, on held-out text.

The mean over masked tokens of a language, in nats; a group's loss is the plain mean over its languages, so that a large
language does not speak for a small one. Languages are dealt to the ranks and the sums gathered.
"""

from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from ...data.pretraining.collator import PackedCollator
from ...data.pretraining.heldout import HeldOut
from ...recipes import Recipe

GROUPS = ("high", "mid", "low", "code")


def language_losses(model: PreTrainedModel, heldout: HeldOut, accelerator: Accelerator) -> dict[str, float]:
    """Score every held-out language on all ranks of the accelerator; loss by language."""
    collate = PackedCollator()
    losses = torch.zeros(len(heldout.languages), dtype=torch.float64)
    was_training = model.training
    model.eval()
    with torch.no_grad():  # what FSDP2 gathers in inference mode cannot be trained after it
        # As many rounds on every rank: a sharded network meets in each forward. The last languages may be read twice.
        for first in range(0, len(heldout.languages), accelerator.num_processes):
            number = first + accelerator.process_index
            batch = collate([heldout.rows(heldout.languages[min(number, len(heldout.languages) - 1)])])
            placed = {k: v.to(accelerator.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
            with accelerator.autocast():
                loss = model(**placed, return_logits=False).loss  # those of 256,000 words would fill memory
            if number < len(heldout.languages):
                losses[number] = loss.double().cpu()
    model.train(was_training)
    if accelerator.num_processes > 1:
        losses = accelerator.reduce(losses.to(accelerator.device), reduction="sum").cpu()
    return dict(zip(heldout.languages, losses.tolist(), strict=True))


def group_losses(losses: Mapping[str, float], groups: Mapping[str, str]) -> dict[str, float]:
    """Average the losses of each resource group."""
    members: dict[str, list[float]] = {}
    for language, loss in losses.items():
        members.setdefault(groups[language], []).append(loss)
    return {group: sum(members[group]) / len(members[group]) for group in GROUPS if group in members}


def resource_groups(recipe: Recipe, trained: Sequence[str], heldout: Sequence[str]) -> dict[str, str]:
    """Sort languages by when they enter: with the first phase high, with the next that adds any mid, later low.

    A phase that adds no language, such as the second part of mmBERT-small's pre-training, counts with the one before.
    What no phase but a decay variant reads, or none at all, is low.
    """
    entered: dict[str, str] = {}
    groups = iter(("high", "mid"))
    for phase in recipe.phases:
        new = set(trained if phase.reads_all else phase.languages) - set(entered) - {"code"}
        if new:
            group = next(groups, "low")
            entered.update(dict.fromkeys(new, group))
    return {
        language: "code" if language == "code" else entered.get(language, "low")
        for language in sorted({*trained, *heldout})
    }

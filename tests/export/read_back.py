"""Reads exported checkpoints in any interpreter with torch and transformers, mmbert shut out, and prints what it found.

    python -I read_back.py FOLDER

FOLDER has one checkpoint a head and reference.pt: ids, mask, what our network computed, texts. Prints one line of JSON:
what was found without and with trust_remote_code.
"""

import json
import sys

sys.modules["mmbert"] = None  # importing it now raises ImportError, as where it is not installed

import torch  # noqa: E402
import transformers  # noqa: E402


def read(folder, reference, **trust):
    heads = {}
    for head, expected in reference["expected"].items():
        auto = getattr(transformers, "AutoModel" + head.removeprefix("Model"))
        model, info = auto.from_pretrained(f"{folder}/{head}", output_loading_info=True, **trust)
        batch = {"input_ids": reference["ids"], "attention_mask": reference["mask"]}
        if head == "ForMultipleChoice":
            batch = {name: value[None] for name, value in batch.items()}
        with torch.no_grad():
            output = model.eval()(**batch)
        found = output.get("last_hidden_state", output.get("logits", output.get("start_logits"))).clone()
        if found.shape[:2] == reference["mask"].shape:
            found[reference["mask"] == 0] = 0  # what stands at padding is nobody's promise
        heads[head] = {
            "class": type(model).__name__,
            "ours": any(parent.__name__ == "MmBertPreTrainedModel" for parent in type(model).__mro__),
            "config": type(model.config).__name__,
            "difference": (found - expected).abs().max().item(),
            "size": expected.abs().max().item(),
            "keys": sorted(info["missing_keys"]) + sorted(info["unexpected_keys"]),
        }
    tokenizer = transformers.AutoTokenizer.from_pretrained(f"{folder}/Model", **trust)
    encoded = tokenizer(reference["texts"])
    return {
        "heads": heads,
        "tokens": encoded["input_ids"],
        "names": sorted(encoded),
        "length": tokenizer.model_max_length,
        "mask": tokenizer.mask_token_id,
        "decoded": tokenizer.decode(encoded["input_ids"][0], skip_special_tokens=True),
    }


def main(folder):
    reference = torch.load(f"{folder}/reference.pt", weights_only=True)
    report = {"plain": read(folder, reference), "remote": read(folder, reference, trust_remote_code=True)}
    sys.stdout.write(json.dumps({"transformers": transformers.__version__, **report}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

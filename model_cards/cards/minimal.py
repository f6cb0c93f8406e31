"""The card of a model that left no record: what its own files say, and that nothing else is known."""

from typing import TYPE_CHECKING, Any

from .metadata import check_licence, check_repo_id

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

_TASKS = {
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
}
_TEXT = """
# {name}

{kind}

Written by mmbert from the model's files alone: no record of its training lies beside it, so data, languages and scores
have to be told by whoever publishes it.
"""


def build_plain_card(
    name: str,
    *,
    config: dict[str, Any] | None = None,
    adapter: dict[str, Any] | None = None,
    embedder: bool = False,
    licence: str = "apache-2.0",
) -> "ModelCard":
    """Build a card from the configuration of a model or of an adapter.

    Args:
        name: Title.
        config: config.json of a model.
        adapter: adapter_config.json of an adapter.
        embedder: Whether the model is a SentenceTransformer.
        licence: Licence id of the Hub for the weights.

    Returns:
        The card.

    Raises:
        ValueError: If the licence or an adapter's base is nothing that the Hub knows.
    """
    from huggingface_hub import ModelCard, ModelCardData

    fields: dict[str, Any] = {"license": check_licence(licence), "tags": ["mmbert", "modernbert"], "model_name": name}
    if adapter is not None:
        base = check_repo_id(str(adapter["base_model_name_or_path"]))
        fields |= {"library_name": "peft", "base_model": base, "base_model_relation": "adapter"}
        kind = f"A {str(adapter.get('peft_type', 'peft')).upper()} adapter for `{base}`."
    else:
        config = config or {}
        head = str((config.get("architectures") or [""])[0])
        task = "sentence-similarity" if embedder else next((t for h, t in _TASKS.items() if head.endswith(h)), None)
        fields |= {"library_name": "sentence-transformers" if embedder else "transformers", "pipeline_tag": task}
        kind = (
            f"`{head}` of the mmBERT family: {config.get('num_hidden_layers')} layers of width "
            f"{config.get('hidden_size')}, a vocabulary of {config.get('vocab_size', 0):,}."
        )
        if labels := sorted((config.get("id2label") or {}).values(), key=str):
            kind += f" Labels: {', '.join(map(str, labels[:20]))}{' and more' if len(labels) > 20 else ''}."
    return ModelCard(f"---\n{ModelCardData(**fields).to_yaml()}\n---\n{_TEXT.format(name=name, kind=kind)}")

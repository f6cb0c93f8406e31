"""Model cards as Markdown, one file per kind of model."""

from ...common.lazy import lazy_exports

_HOMES = {
    "add_embedding_scores": "embedding_scores",
    "build_card": "pretraining",
    "build_fine_tune_card": "finetuning",
    "build_merge_card": "merge",
    "build_plain_card": "minimal",
    "check_licence": "metadata",
    "check_repo_id": "metadata",
    "hub_codes": "metadata",
    "hub_datasets": "metadata",
    "read_records": "pretraining",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

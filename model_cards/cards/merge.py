"""The card of a merged model: which parents, by what method, how far they agreed, and what a search found.

A merge has no run of its own, so this card is filled from `merge.json` alone. Parents are named by folder and by the
fingerprint of their weights; paths stay out, since a card is published.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import markdown as tables
from .metadata import check_licence, check_repo_id

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

_TEMPLATE = Path(__file__).with_name("merge.md")
_SHOWN = 16  # hexadecimal digits of a fingerprint: enough to tell checkpoints apart


def build_merge_card(
    merge: dict[str, Any],
    *,
    name: str,
    licence: str = "apache-2.0",
    parent_ids: Sequence[str] = (),
    picture: str | None = None,
) -> "ModelCard":
    """Build the card of a merged model from the record of the merge.

    Args:
        merge: What `merge.json` of the merged checkpoint holds.
        name: Title.
        licence: Licence id of the Hub for the weights.
        parent_ids: Hub ids of the parents, if they are published; they become the card's base_model.
        picture: Address of the agreement picture in the card's repository.

    Returns:
        The card.

    Raises:
        ValueError: If the licence or a parent's id is nothing that the Hub knows.
    """
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        license=check_licence(licence),
        library_name="transformers",
        pipeline_tag="fill-mask",
        base_model=[check_repo_id(parent) for parent in parent_ids] or None,
        base_model_relation="merge" if parent_ids else None,
        tags=["mmbert", "modernbert", "merge"],
        model_name=name,
    )
    card: ModelCard = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        name=name,
        summary=tables.merge_table(merge),
        parents=_parent_table(merge),
        agreement=_agreement_table(merge["report"]) if "report" in merge else "",
        search=_search_table(merge["search"]) if "search" in merge else "",
        picture=picture,
        version=merge.get("mmbert", ""),
    )
    return card


def _parent_table(merge: dict[str, Any]) -> str:
    weights = merge["parameters"].get("weights") or []
    first = len(merge["parents"]) - len(weights)  # the base of TIES and task arithmetic has no weight
    rows = [
        (
            parent["name"],
            f"`{parent['fingerprint'][:_SHOWN]}`",
            "base" if place < first else f"{weights[place - first]:.4g}",
        )
        for place, parent in enumerate(merge["parents"])
    ]
    return tables.markdown_table(("parent", "fingerprint of its weights", "weight"), rows, text_columns=2)


def _agreement_table(report: dict[str, Any]) -> str:
    header = ("layer", "signs agree", *(f"kept mass {variant}" for variant in report["variants"]))
    rows = [
        (layer["name"], *(_percent(value) for value in (layer["sign_agreement"], *layer["kept_mass"])))
        for layer in (*report["layers"], report["whole"])
    ]
    return tables.markdown_table(header, rows)


def _search_table(search: dict[str, Any]) -> str:
    rows = [
        (f"{trial['density']:g}", f"{trial['scale']:g}", "-" if trial["score"] is None else f"{trial['score']:.4g}")
        for trial in search["trials"]
    ]
    better = "higher" if search["higher_is_better"] else "lower"
    return tables.markdown_table(("density", "scale", f"score ({better} is better)"), rows, text_columns=0)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"

"""A recipe that continues a model: new languages to learn, old ones replayed so that they are not forgotten.

Replay has a fixed share of the tokens, in equal parts, because what is small is forgotten as fast as what is large; new
languages divide the rest by the phase's temperature. Whatever else a recipe says of shares would be overwritten, so it
is refused.
"""

from collections.abc import Sequence
from dataclasses import replace

from .phase import Phase
from .recipe import Recipe


def with_replayed_languages(recipe: Recipe, new: Sequence[str], share: float, corpus: Sequence[str]) -> Recipe:
    """Give the old languages of every phase equal parts of a share of its tokens.

    Args:
        recipe: The plan; its phases may read different languages.
        new: Tags of the new languages; all others are replayed.
        share: Share of the tokens for the replayed languages, strictly between 0 and 1.
        corpus: Tags that a phase reads which reads all.

    Returns:
        The plan, every phase with a list of languages and shares.

    Raises:
        ValueError: If the recipe has variants or shares, does not read a new language, or if a phase has no new or no
            old one.
    """
    if recipe.variants:
        raise ValueError(
            f"recipe {recipe.name!r} has variants {', '.join(recipe.variants)}, but one model is continued;"
            " make one of them the last phase."
        )
    listed = [replace(one, languages=tuple(corpus) if one.reads_all else one.languages) for one in recipe.phases]
    read = listed[-1].languages  # a later phase reads at least what is read before it
    if missing := sorted(set(new) - set(read)):
        raise ValueError(f"--new: the recipe does not read {', '.join(missing)}; it reads {', '.join(read)}.")
    return replace(recipe, phases=tuple(_replaying(phase, new, share) for phase in listed))


def _replaying(phase: Phase, new: Sequence[str], share: float) -> Phase:
    if phase.shares:
        raise ValueError(
            f"phase {phase.name!r} has shares for {', '.join(phase.shares)}, but --replay_share {share:g} is what"
            " divides the tokens; remove `shares`."
        )
    old = [tag for tag in phase.languages if tag not in new]
    learned = len(phase.languages) - len(old)
    if not learned or not old or not 0 < share < 1:
        raise ValueError(
            f"there are {learned} new and {len(old)} old languages in phase {phase.name!r} and --replay_share {share};"
            " give both, and a share between 0 and 1."
        )
    return replace(phase, shares={tag: share / len(old) for tag in old})

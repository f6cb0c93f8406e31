"""`mmbert recipe`: what a recipe plans, as tables and a picture, before anything is trained or downloaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from ...recipes import DataSource, Recipe


def recipe(
    name: Annotated[str, typer.Argument(help="Name of a shipped recipe, such as mmbert-base, or a YAML file.")],
    plot: Annotated[Path | None, typer.Option(help="PNG to draw: rate, masking, batch, languages by tokens.")] = None,
) -> None:
    """Show a recipe's phases and variants, and the data sets it reads with their licences and tokens."""
    from rich.console import Console

    from ...recipes import Recipe
    from ...recipes.outline import outline

    planned = Recipe.load(name)
    plan, all_languages = outline(planned), _all_languages(planned)
    drawn = None
    if plot is not None:
        from ...model_cards.plots.plan import draw_plan

        drawn = draw_plan(plan, plot, all_languages)
    console = Console(highlight=False)
    console.print(_stretches(f"{planned.name}: phases of every run", plan["stable"], all_languages))
    if plan["variants"]:
        title = f"variants: one of them follows {plan['stable'][-1]['name']}"
        console.print(_stretches(title, plan["variants"], all_languages))
    if planned.data.sources:
        console.print(_sources(planned.data.sources))
    console.print(f"corpus: {planned.data.corpus or 'none of your own'}")
    if drawn is not None:
        console.print(f"picture: {drawn}")


def _all_languages(planned: "Recipe") -> int | None:
    """Count what `all` means: FineWeb2's languages where mmBERT's own sources are read, unknown for another corpus."""
    from ...languages.tags import known_codes

    return len(known_codes()) if planned.data.corpus is None else None


def _table(title: str) -> "Table":
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _stretches(title: str, phases: list[dict[str, Any]], all_languages: int | None) -> "Table":
    """A column a phase: four phases fit a terminal, twelve properties would not."""
    table = _table(title)
    table.add_column("", no_wrap=True)
    for scheduled in phases:
        table.add_column(scheduled["name"], justify="right", overflow="fold")
    columns = [_cells(scheduled, all_languages) for scheduled in phases]
    for label in dict.fromkeys(label for column in columns for label in column):
        table.add_row(label, *(column.get(label, "") for column in columns))
    return table


def _cells(scheduled: dict[str, Any], all_languages: int | None) -> dict[str, str]:
    from ...model_cards.plots.style import short_count

    languages = scheduled["languages"] or all_languages
    (first, last), (peak, end) = scheduled["rows"], scheduled["learning_rate"]
    return {
        "steps": f"{scheduled['steps']:,}",
        "tokens": short_count(scheduled["tokens"]),
        "languages": ("all" if languages is None else f"{languages:,}") + (" + code" if scheduled["code"] else ""),
        "temperature": f"{scheduled['temperature']:g}",
        "masked": f"{scheduled['masking_ratio']:.0%}",
        "context": f"{scheduled['context_length']:,}",
        "RoPE theta": f"{scheduled['rope_theta']:,.0f}",
        "rows a step": f"{first:,}" if first == last else f"{first:,} to {last:,}",
        "learning rate": f"{peak:.2g}",
        **({} if scheduled["decay"] == "none" else {"falls to": f"{end:.2g} {scheduled['decay']}"}),
        **{f"share of {tag}": f"{share:.1%}" for tag, share in scheduled["shares"].items()},
    }


def _sources(sources: "tuple[DataSource, ...]") -> "Table":
    from rich.console import Group
    from rich.padding import Padding

    from ...model_cards.plots.style import short_count

    table = _table("data sets to fetch")
    table.add_column("data set", min_width=47, overflow="fold")  # the longest id: they are there to be copied
    for heading in ("format", "licence"):
        table.add_column(heading, no_wrap=True)
    for source in sources:
        tokens = [f"{name} {short_count(source.tokens.get(name, 0))}".removesuffix(" 0") for name in source.phases]
        languages = f"{len(source.languages)} languages" if len(source.languages) > 1 else source.languages[0]
        facts = [source.part, "" if source.reads_all else languages, ", ".join(tokens), source.note]
        about = Padding("; ".join(filter(None, facts)), (0, 0, 0, 2))
        table.add_row(Group(source.id, about), source.format, source.licence)
    return table

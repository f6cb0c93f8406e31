"""`mmbert tokenize`: a corpus becomes a tokenizer and token shards."""

from pathlib import Path
from typing import Annotated

import typer


def tokenize(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a YAML file; its `data` section counts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tokenizer/, train/ and heldout/.")],
) -> None:
    """Read a recipe's corpus, train its tokenizer unless it names one, and write token shards a language."""
    from ..data.preparation import prepare
    from ..recipes import Recipe

    data = prepare(Recipe.load(recipe), output)
    for name, shards in (("train", data.train), ("heldout", data.heldout)):
        tokens = sum(shards.token_counts.values())
        typer.echo(
            f"{name}: {tokens:,} tokens, {len(shards.languages)} languages, fingerprint {shards.fingerprint[:12]}"
        )
        for reason, count in shards.index["skipped"].items():
            typer.echo(f"  left out: {count:,} x {reason}")

"""`mmbert push`: a model is published on the Hub, whole, with its card and a tag."""

import json
from pathlib import Path
from typing import Annotated

import typer


def push(
    folder: Annotated[Path, typer.Argument(help="Checkpoint, SentenceTransformer, adapter, or a part of a run.")],
    repo_id: Annotated[str, typer.Argument(help="Repository on the Hub, owner/name.")],
    tag: Annotated[str | None, typer.Option(help="Revision tag, such as decay-all/step3000 or merged.")] = None,
    replace_tag: Annotated[bool, typer.Option("--replace-tag", help="Move a tag that exists.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Of a part of a run, publish every tagged checkpoint first.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to commit to; the main one if left out.")] = None,
    private: Annotated[bool | None, typer.Option(help="Whether a repository that is made is private.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    base_model: Annotated[str | None, typer.Option(help="Hub id of the model that an adapter belongs to.")] = None,
) -> None:
    """Publish a model in the format that every ModernBERT reader loads, with card, reports and pictures."""
    from ...export import push as publish
    from ...export.hub.upload import ensure_repository, published_tags

    final = folder / "final"
    if history:
        checkpoints = _tagged(folder)
        repo_id = ensure_repository(repo_id, private=private)
        there = frozenset() if replace_tag else published_tags(repo_id)
        for name, checkpoint in checkpoints.items():
            if name in there:
                typer.echo(f"{name}: there already")
                continue
            done = publish(checkpoint, repo_id, tag=name, replace_tag=replace_tag, revision=revision, private=private)
            typer.echo(f"{name}: {done.address}")
    done = publish(
        final if final.is_dir() else folder,
        repo_id,
        tag=tag,
        replace_tag=replace_tag,
        revision=revision,
        private=private,
        message=message,
        base_model=base_model,
    )
    typer.echo(f"published: {done.address}" + (f", tag {done.tag}" if done.tag else ""))


def _tagged(folder: Path) -> dict[str, Path]:
    """Return the checkpoints at phase boundaries, as `phase/stepN`, oldest first."""
    from ...trainers.checkpointing.paths import revision_of

    path = folder / "tags.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; --history wants a part of a run, such as run/stable")
    names = json.loads(path.read_text(encoding="utf-8"))
    return {revision_of(tag): folder / name for tag, name in names.items()}

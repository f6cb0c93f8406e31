"""`mmbert push`: a model is published on the Hub, whole, with its card and a tag."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ...common.files import file_size


def push(
    folder: Annotated[Path, typer.Argument(help="Checkpoint, SentenceTransformer, adapter, or a part of a run.")],
    repo_id: Annotated[
        str,
        typer.Argument(help="Repository on the Hub, owner/name; or a folder: ./name, /name, ~/name."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; ask and send nothing.")] = False,
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
    if dry_run or repo_id.startswith((".", "/", "~")):
        if history or tag or revision:
            raise ValueError("--history, --tag and --revision belong to the Hub; leave them out")
        _push_locally(final if final.is_dir() else folder, repo_id, base_model, dry_run)
        return
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


def _push_locally(folder: Path, place: str, base_model: str | None, dry_run: bool) -> None:
    """Put together what would be sent, here; or show it only."""
    from ...export.hub import assemble_locally
    from ...model_cards.cards.metadata import check_repo_id

    output = Path(place).expanduser() if place.startswith((".", "/", "~")) else None
    if output is None:
        check_repo_id(place, "repository")
    name = place if output is None else None
    sizes = assemble_locally(folder, None if dry_run else output, base_model=base_model, name=name)
    for file, size in sizes.items():
        typer.echo(f"  {size:>13,}  {file}")
    told = f"{len(sizes)} files, {file_size(sum(sizes.values()))}"
    typer.echo(f"would be sent to {place}: {told}; nothing was" if dry_run else f"published: {output}, {told}")


def _tagged(folder: Path) -> dict[str, Path]:
    """Return the checkpoints at phase boundaries, as `phase/stepN`, oldest first."""
    from ...trainers.checkpointing.paths import revision_of

    path = folder / "tags.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; --history wants a part of a run, such as run/stable")
    names = json.loads(path.read_text(encoding="utf-8"))
    return {revision_of(tag): folder / name for tag, name in names.items()}

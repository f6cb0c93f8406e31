"""Publishes a model on the Hub: one commit of a checked folder, and a tag on that commit.

A commit is whole or absent, so a refused or interrupted upload leaves the repository as it was; everything that can be
refused here (damaged files, a card that the Hub would reject, a tag that exists) is refused before the first byte is
sent. Files of an earlier version's model that the new one does not have (shards, an ONNX folder, an adapter, pooling)
are deleted in the same commit, because two generations beside each other would be no model. Trade-off: files travel
even if only the card changed, but the Hub's client skips those whose bytes it knows.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...common.checkpoints.writer import atomic_directory
from ...common.files import refuse_existing
from .assemble import assemble

# What makes a model: all of it belongs to one version. Cards, reports and pictures may have come from elsewhere.
_MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.bin",
    "*.bin.index.json",
    "config.json",
    "adapter_config.json",
    "adapter/*",
    "onnx/*",
    "openvino/*",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "[0-9]_*/*",
    "SHA256SUMS",
    "self_test.json",
    "trim.json",
    "kept_ids.txt",
    "merge.json",
)


def assemble_locally(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    base_model: str | None = None,
    papers: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> dict[str, int]:
    """Put together what `push` would send, without the Hub: in a folder of this machine, or only to be looked at.

    Args:
        folder: See `push`.
        output: Folder to make; None: nothing stays.
        base_model: See `push`.
        papers: See `push`.
        name: What the lines of the card shall load; None: the output, or the folder's name.

    Returns:
        Bytes by file.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the folder is not fit to publish, or the output exists.
    """
    if output is not None:
        refuse_existing(output)
    with tempfile.TemporaryDirectory(prefix="mmbert-push-") as temporary:
        directory = Path(temporary) / "published"
        named = name or (None if output is None else Path(output).name)
        assemble(folder, directory, base_model=base_model, papers=papers, address=named)
        sizes = {
            path.relative_to(directory).as_posix(): path.stat().st_size
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }
        if output is not None:
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            with atomic_directory(output) as partial:
                shutil.copytree(directory, partial, dirs_exist_ok=True)
    return sizes


@dataclass(frozen=True, slots=True)
class Publication:
    """What a push left on the Hub.

    Attributes:
        address: Of the commit.
        commit: Its hash, which `revision=` accepts.
        tag: The tag on it, which `revision=` accepts too; None if none was asked for.
    """

    address: str
    commit: str
    tag: str | None


def push(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    tag: str | None = None,
    replace_tag: bool = False,
    revision: str | None = None,
    private: bool | None = None,
    message: str | None = None,
    token: str | None = None,
    base_model: str | None = None,
    papers: str | os.PathLike[str] | None = None,
) -> Publication:
    """Publish a checkpoint, a SentenceTransformer or an adapter as files that load everywhere.

    Args:
        folder: The checkpoint, in our format or exported; a run's `final` brings record, card and pictures along.
        repo_id: Repository, owner/name, or a name under your own account; made if it does not exist.
        tag: Revision tag for this version, such as `pretrain/step1200`, `decay-all/step3000` or `merged`.
        replace_tag: Move the tag if the repository has it already.
        revision: Branch to commit to; None for the main one.
        private: Whether a repository that is made is private; None leaves it to the Hub's default.
        message: Of the commit.
        token: Access token with the right to write; None takes the stored login.
        base_model: Hub id of the model that an adapter belongs to.
        papers: A folder with records, card and pictures that belong to the model but do not lie beside it.

    Returns:
        Where it lies.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the folder is not fit to publish, the id is malformed, the tag exists, or the Hub refused.
        ConnectionError: If the Hub cannot be reached or the connection broke; the repository is as it was.
    """
    from huggingface_hub import HfApi

    from ...model_cards.cards.metadata import check_repo_id

    check_repo_id(repo_id, "repository")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory(prefix="mmbert-push-") as temporary:
        directory = Path(temporary) / "published"
        assemble(folder, directory, base_model=base_model, papers=papers, address=repo_id)
        repo_id = ensure_repository(repo_id, private=private, token=token)
        known = published_tags(repo_id, token=token) if tag is not None else frozenset()
        if revision is not None:
            with _one_line(repo_id, "nothing was uploaded"):
                api.create_branch(repo_id, branch=revision, exist_ok=True)
        if tag in known and not replace_tag:
            raise ValueError(f"{repo_id} has a tag {tag!r} already; choose another, or replace it by --replace-tag")
        with _one_line(repo_id, "the repository is as it was"):
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=directory,
                revision=revision,
                commit_message=message or f"Publish {tag or Path(folder).name}",
                delete_patterns=list(_MODEL_FILES),
            )
    if tag is not None:
        with _one_line(repo_id, f"commit {commit.oid} is whole but has no tag {tag}; push again with the same tag"):
            if tag in known:
                api.delete_tag(repo_id, tag=tag)
            api.create_tag(repo_id, tag=tag, revision=commit.oid)
    return Publication(str(commit.commit_url), str(commit.oid), tag)


def ensure_repository(repo_id: str, *, private: bool | None = None, token: str | None = None) -> str:
    """Make a repository if it does not exist, which also shows whether the token may write.

    Args:
        repo_id: Owner/name, or a name under the account of the token.
        private: Whether one that is made is private.
        token: Access token; None takes the stored login.

    Returns:
        Its id with the owner.

    Raises:
        ValueError: If the Hub refused.
        ConnectionError: If it cannot be reached.
    """
    from huggingface_hub import HfApi

    with _one_line(repo_id, "nothing was uploaded"):
        return str(HfApi(token=token).create_repo(repo_id, private=private, exist_ok=True).repo_id)


def published_tags(repo_id: str, *, token: str | None = None) -> frozenset[str]:
    """Return the tags that a repository has.

    Args:
        repo_id: Owner/name.
        token: Access token; None takes the stored login.

    Returns:
        Their names.

    Raises:
        ValueError: If there is no such repository.
        ConnectionError: If the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with _one_line(repo_id, "nothing was uploaded"):
        return frozenset(found.name for found in HfApi(token=token).list_repo_refs(repo_id).tags)


@contextmanager
def _one_line(repo_id: str, state: str) -> Iterator[None]:
    """Say what the Hub refused, why, and in which state the repository is."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    # httpx or httpx2, by the version of huggingface_hub; its errors of transport have this ancestor
    http_error: type[BaseException] = next(
        kind for kind in HfHubHTTPError.__mro__ if kind.__module__.startswith("httpx")
    )
    try:
        yield
    except OfflineModeIsEnabled:
        raise ConnectionError(f"{repo_id} cannot be reached: HF_HUB_OFFLINE is set; unset it to publish") from None
    except LocalTokenNotFoundError:
        raise ValueError(f"{repo_id}: no access token; log in by `hf auth login`, or set HF_TOKEN") from None
    except HfHubHTTPError as refused:
        status = getattr(refused.response, "status_code", None)
        reason = " ".join((refused.server_message or str(refused)).split())[:300]
        remedy = f"; log in by `hf auth login` with the right to write to {repo_id}" if status in (401, 403) else ""
        raise ValueError(f"the Hub refused {repo_id} ({status}: {reason}); {state}{remedy}") from refused
    except (http_error, OSError) as broken:
        reason = " ".join(str(broken).split())[:300] or type(broken).__name__
        raise ConnectionError(f"the connection to the Hub broke ({reason}); {state}, push again") from broken

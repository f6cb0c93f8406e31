"""The sets of `tasks` as tasks of mteb, for those who report in its terms; mteb's own tasks run beside them.

    mteb.evaluate(load_embedder("embedder"), [local_task("xquad", "xquad.parquet")])      from files, no network
    mteb.evaluate(load_embedder("embedder"), mteb.get_tasks(tasks=["CosQA"]))             CoIR, from the Hub

mteb takes a SentenceTransformer as it is, so its official tasks (MTEB v2, CoIR) need nothing of ours. A test holds that
its nDCG@10 and MRR@10 on a local task are those of `retrieval_scores`.

Trade-off: retrieval only. Bitext, similarity and neighbours have no task here; mteb scores those in other ways.
"""

from pathlib import Path
from typing import Any

from .evaluate import read_set
from .retrieval_sets import RetrievalSet, code_search_sets, cosqa_sets, xquad_cross_sets, xquad_sets
from .tasks import TASKS

_SETS = {"xquad": xquad_sets, "xquad-cross": xquad_cross_sets, "cosqa": cosqa_sets, "code-search": code_search_sets}
_SPLIT = "test"


def local_task(name: str, path: str | Path) -> Any:
    """Make a task of mteb from a file.

    Args:
        name: xquad, xquad-cross, cosqa or code-search.
        path: Its file or folder.

    Returns:
        An `AbsTaskRetrieval` with a subset a language, for `mteb.evaluate`.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If mteb is not installed.
        ValueError: If the set is unknown or its file cannot be read.
    """
    if name not in _SETS:
        raise ValueError(f"no retrieval set {name!r}; there are {', '.join(_SETS)}")
    sets = _SETS[name](read_set(name, path))
    try:
        from mteb.abstasks.retrieval import AbsTaskRetrieval
        from mteb.abstasks.task_metadata import TaskMetadata
    except ImportError as missing:
        raise ImportError('tasks of mteb need mteb: pip install "mmbert[mteb]"') from missing
    codes = {
        tag: [f"{tag.removeprefix('code_')}-Code" if tag.startswith("code_") else tag.replace("_", "-")] for tag in sets
    }

    class LocalRetrieval(AbsTaskRetrieval):  # type: ignore[misc] # mteb is not there where types are checked
        metadata = TaskMetadata(
            name=f"Local{name.title().replace('-', '')}",
            description=f"{TASKS[name].title}, read from a file",
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            dataset={"path": f"local/{name}", "revision": "1"},
            eval_splits=[_SPLIT],
            eval_langs=codes,
            main_score="ndcg_at_10",
            reference=None,
            date=None,
            domains=None,
            task_subtypes=None,
            license=None,
            annotations_creators=None,
            dialect=None,
            sample_creation=None,
            bibtex_citation=None,
        )

        def load_data(self, num_proc: int | None = None, **options: Any) -> None:
            self.dataset = {tag: {_SPLIT: _split(one)} for tag, one in sets.items()}
            self.data_loaded = True

    return LocalRetrieval()


def _split(one: RetrievalSet) -> Any:
    from datasets import Dataset

    return {
        "queries": Dataset.from_list([{"id": name, "text": text} for name, text in one.queries.items()]),
        "corpus": Dataset.from_list([{"id": name, "text": text} for name, text in one.documents.items()]),
        "relevant_docs": {name: {home: 1} for name, home in one.answers.items()},
        "top_ranked": None,
    }

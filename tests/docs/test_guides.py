"""The guides do what they say: every file, command and Python block in them is run, in the order of the guides.

A block says by its info string what it is:

    yaml my.yaml     any language and a file name: the block is written to that file
    bash, python     run in the workspace; it must succeed
    bash fails       must fail, a command without a traceback; a `text` block that follows must stand in its message
    text             output or a sketch for the reader; not run
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mmbert
import pytest
from notebooks import FENCE, guides, notebook

ROOT = Path(mmbert.__file__).parent
DOCS = ROOT / "docs"
ORDER = [
    "data", "recipes", "stream", "pretraining", "continuing", "merging", "classification", "multiple_choice", "tagging",
    "answering", "evaluating", "reporting", "trimming", "languages", "embeddings",
    "searching", "training_embeddings", "distillation", "speed", "publishing", "onnx", "scaling",
    "coming_from", "faq",
]  # fmt: skip
PAGES = [DOCS / f"{name}.md" for name in ORDER]


@dataclass(frozen=True)
class Block:
    place: str
    language: str
    option: str
    body: str


def blocks(page):
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        language, _, option = match[1].partition(" ")
        yield Block(f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}", language, option, match[2])


def cells(page):
    """The code cells of the notebook made from a page, as the blocks that they run."""
    for number, cell in enumerate(notebook(page).cells, 1):
        first, _, rest = cell.source.partition("\n")
        name = f"{page.stem}.ipynb:{number}"
        if cell.cell_type != "code":
            continue
        if first.startswith("%%writefile "):
            yield Block(name, "", first.split()[1], f"{rest}\n")
        elif first.startswith("%%bash -e"):
            yield Block(name, "bash", "fails" if first.endswith("--no-raise-error") else "", f"{rest}\n")
        else:
            fails = "fails" if "raises-exception" in cell.metadata.get("tags", ()) else ""
            yield Block(name, "python", fails, f"{cell.source}\n")


def execute(block, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    environment |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "COLUMNS": "120"}
    runner = ["bash", "-e", "-o", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    return subprocess.run(
        [*runner, block.body], capture_output=True, text=True, timeout=300, cwd=folder, env=environment
    )


def words(text):
    return " ".join(text.split())


def walk(found, folder):
    """Write the files of a page's blocks, run its commands and its Python, in their order."""
    for number, block in enumerate(found):
        if "." in block.option:
            (folder / block.option).write_text(block.body, encoding="utf-8")
        elif block.language in ("bash", "python"):
            done = execute(block, folder)
            fails = block.option == "fails"
            assert (done.returncode != 0) == fails, f"{block.place}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
            if fails and found[number + 1 : number + 2] and found[number + 1].language == "text":
                assert words(found[number + 1].body) in words(done.stderr), f"{block.place}\n{done.stderr[-3000:]}"
            if block.language == "bash":
                assert "Traceback" not in done.stderr, f"{block.place}\n{done.stderr[-3000:]}"


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_the_guides_work_as_written(tmp_path):
    for folder in ("examples", "benchmarks"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for page in PAGES:
        walk(list(blocks(page)), tmp_path)
    # What the pages promise to leave behind
    for name in ("run/decay-eng/final", "adapted/stable/final", "merged", "averaged", "embedder", "published"):
        assert (tmp_path / name / "config.json").is_file(), name
    assert (tmp_path / "published" / "README.md").is_file()
    assert not (tmp_path / "nowhere").exists() and not (tmp_path / "elsewhere").exists()
    run_readme(tmp_path)


def run_readme(folder):
    """README's block speaks of `base`, its variants and the demo's embedder; those of the guides stand in for them."""
    page = folder / "readme"
    (page / "demo_run").mkdir(parents=True)
    (page / "demo_run" / "embedder").symlink_to(folder / "embedder")
    for name in ("decay-eng", "decay-cont", "decay-all"):
        (page / name).symlink_to(folder / "run" / name / "final")
    (page / "base").symlink_to(folder / "run" / "stable" / "final")
    python = [block for block in blocks(ROOT / "README.md") if block.language == "python"]
    assert python
    for block in python:
        done = execute(block, page)
        assert done.returncode == 0, f"{block.place}\n{done.stderr[-3000:]}"
    assert (page / "merged" / "merge.json").is_file()


@pytest.mark.parametrize("page", PAGES, ids=ORDER)
def test_a_notebook_runs_what_its_guide_runs(page):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("jupytext")
    made = notebook(page)
    nbformat.validate(made)
    runs = [block for block in blocks(page) if "." in block.option or block.language in ("bash", "python")]
    assert [(cell.option, cell.body) for cell in cells(page)] == [(block.option, block.body) for block in runs]
    assert [cell.language for cell in cells(page)] == ["" if "." in block.option else block.language for block in runs]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_cells_of_a_notebook_run(tmp_path):
    """Those of the first guide; of the others the test above and that of the guides are the two halves."""
    pytest.importorskip("jupytext")
    walk(list(cells(PAGES[0])), tmp_path)


def test_every_guide_that_runs_has_a_notebook():
    assert guides() == PAGES


@pytest.mark.parametrize("page", PAGES, ids=ORDER)
def test_every_block_says_what_it_is(page):
    found = list(blocks(page))
    assert page.read_text(encoding="utf-8").count("\n```") == 2 * len(found), "a fence is left open"
    for block in found:
        assert block.language in ("bash", "python", "text", "yaml", "jsonl"), block.place
        runs = block.language in ("bash", "python") and block.option in ("", "fails")
        assert runs or block.language == "text" or "." in block.option, f"{block.place}: name its file, or make it text"
    assert any(block.language in ("bash", "python") for block in found)


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.is_file(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, target


def test_the_index_lists_every_page():
    listed = next(block.body for block in blocks(DOCS / "index.md") if block.language == "{toctree}").split()
    assert {name for name in listed if not name.startswith(":")} >= {path.stem for path in DOCS.glob("*.md")} - {
        "index"
    }

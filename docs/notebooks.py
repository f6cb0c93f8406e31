"""Every guide as a Jupyter notebook, in the order of the index: `make notebooks`, or `python docs/notebooks.py FOLDER`.

What a guide runs is a cell here: Python as it is, commands under `%%bash`, files under `%%writefile`. Notebooks of one
folder go on from each other's files, as the guides do.
"""

import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def guides() -> list[Path]:
    """Pages of the index that run something, in its order."""
    listed = re.search(r"```{toctree}\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    assert listed
    pages = [DOCS / f"{name}.md" for name in listed[1].split() if (DOCS / f"{name}.md").is_file()]
    return [page for page in pages if re.search(r"^```(bash|python)( fails)?$", page.read_text("utf-8"), re.MULTILINE)]


def notebook(page: Path) -> Any:
    """Return the notebook (nbformat) of a guide."""
    import jupytext

    names = "|".join(guide.stem for guide in guides())
    text = re.sub(rf"\]\(({names})\.md", r"](\1.ipynb", page.read_text(encoding="utf-8"))
    text = re.sub(r"\]\((?=pictures/)", "](../../docs/", text)  # as seen from build/notebooks
    made = jupytext.reads(FENCE.sub(_cell, text), fmt="md")
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def _cell(block: re.Match[str]) -> str:
    language, _, option = block[1].partition(" ")
    if "." in option:
        return f"```python\n%%writefile {option}\n{block[2]}```"
    if language == "bash":
        return f"```python\n%%bash -e{' --no-raise-error' if option else ''}\n{block[2]}```"
    return f'```{language} tags=["raises-exception"]\n{block[2]}```' if option == "fails" else block[0]


def write(folder: Path) -> None:
    """Write all of them into a folder."""
    import jupytext

    folder.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(guides(), 1):
        jupytext.write(notebook(page), folder / f"{page.stem}.ipynb", fmt="ipynb")
        sys.stdout.write(f"{number:2}  {folder / page.stem}.ipynb\n")


if __name__ == "__main__":
    write(Path(*sys.argv[1:2]) if sys.argv[1:] else DOCS.parent / "build" / "notebooks")

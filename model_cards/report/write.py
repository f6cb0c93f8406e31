"""Runs into one HTML file: page.html with their data in it as JSON; no other file and no network is needed.

Data is no markup: the page shows it as text, `<` stands in the file as an escape, and the browser runs the page's own
script only (its hash is in the Content-Security-Policy).
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ...common.files import write_text
from ...version import __version__
from .read import read_run

_PAGE = Path(__file__).with_name("page.html")
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def write_report(runs: Sequence[str | Path], output: str | Path, *, predictions: int = 5_000) -> Path:
    """Write a page of runs.

    Args:
        runs: Output folders of `mmbert pretrain`, `mmbert finetune`, `mmbert evaluate` or `evaluate_embeddings.py`,
            folders of such folders, or single records.
        output: HTML file to write; one that is there is replaced.
        predictions: Most predictions shown of each data set, the wrong ones first; 0 for none.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If a run has no record.
        ValueError: If a record is damaged, or a number is out of range.
    """
    if predictions < 0:
        raise ValueError(f"predictions must be at least 0, got {predictions}")
    if not runs:
        raise ValueError("got 0 runs to report; give the output folder of a run")
    parts = [part for run in runs for part in read_run(run, predictions)]
    path = Path(output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"the report is an HTML file, got {path}; write, for example, {path.with_suffix('.html').name}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page({"version": __version__, "runs": parts}))
    return path


def page(data: object) -> str:
    """The page with its data.

    Args:
        data: What JSON can hold.

    Returns:
        HTML.
    """
    html = _PAGE.read_text(encoding="utf-8")
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str)
    escaped = re.sub("[<>&\u2028\u2029]", lambda found: _ESCAPES[found[0]], text)
    escaped = escaped.encode("utf-8", "replace").decode()  # half a surrogate pair is shown as ?
    return html.replace("__POLICY__", content_policy(html), 1).replace("__DATA__", escaped, 1)


def content_policy(html: str, *more: str) -> str:
    """The Content-Security-Policy under which only the script and style that stand in a page run."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", *more]
    for rule, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        content = re.search(pattern, html, re.DOTALL)
        digest = hashlib.sha256((content[1] if content else "").encode()).digest()
        rules.append(f"{rule} 'sha256-{base64.b64encode(digest).decode()}'")
    return "; ".join(rules)

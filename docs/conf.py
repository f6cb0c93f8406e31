"""Sphinx: the guides as they are (MyST Markdown) and the reference from the docstrings (Google style)."""

import mmbert
from pygments.lexers.data import JsonLexer
from sphinx.highlighting import lexers

project = "mmbert"
author = "the mmbert authors"
copyright = author
version = release = mmbert.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3  # so that `pretraining.md#your-own-trainer` is an address here as on the forge
html_theme = "furo"
html_title = f"mmbert {version}"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
# A dataclass documents its fields in its own docstring; without this they would be listed a second time.
napoleon_use_ivar = True

lexers["jsonl"] = JsonLexer()  # a JSON object a line, in the data guide

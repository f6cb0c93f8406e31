"""A smaller vocabulary.

`trim` is the way in; `ranking` chooses tokens, `bpe` cuts the tokenizer, `files` the weights.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "TrimReport": "report",
    "Vocabulary": "bpe",
    "read_trim_report": "report",
    "trim_vocabulary": "trim",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

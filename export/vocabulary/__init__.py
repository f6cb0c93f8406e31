"""A smaller vocabulary.

`trim` is the way in; `ranking` chooses tokens, `bpe` cuts the tokenizer, `files` the weights.
"""

from ...common.lazy import lazy_exports

_HOMES = {"Vocabulary": "bpe"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

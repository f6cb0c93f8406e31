"""Registration with transformers' Auto classes when transformers loads them, not before.

`import mmbert` must make AutoModel know `mmbert`, and must not load torch for a help text. So a finder watches the
modules named below and those of this folder; when the last of those that are running has finished, whatever is loaded
by then is registered. While one of them runs, importing our network would meet it half made.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_CONFIGS = "transformers.models.auto.configuration_auto"
_MODELS = "transformers.models.auto.modeling_auto"
_WATCHED = frozenset(
    {
        _CONFIGS,
        _MODELS,
        "transformers.modeling_utils",
        "transformers.models.modernbert.configuration_modernbert",
        "transformers.models.modernbert.modeling_modernbert",
    }
)


def register() -> None:
    """Make AutoConfig, AutoModel and the five Auto classes with a head know `mmbert`; calling it again is harmless."""
    _register_config()
    _register_models()


def register_when_loaded() -> None:
    """Register as soon as transformers' Auto classes are loaded, now if they are; calling it again is harmless."""
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())
    _register_what_is_loaded()


def _register_what_is_loaded() -> None:
    if _CONFIGS in sys.modules:
        _register_config()
    if _MODELS in sys.modules:
        _register_models()


def _register_config() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    from .configuration_mmbert import MmBertConfig

    AutoConfig.register(MmBertConfig.model_type, MmBertConfig, exist_ok=True)


def _register_models() -> None:
    from transformers.models.auto import modeling_auto

    from . import modeling_mmbert
    from .configuration_mmbert import MmBertConfig

    for auto, model in (
        ("AutoModel", "MmBertModel"),
        ("AutoModelForMaskedLM", "MmBertForMaskedLM"),
        ("AutoModelForMultipleChoice", "MmBertForMultipleChoice"),
        ("AutoModelForQuestionAnswering", "MmBertForQuestionAnswering"),
        ("AutoModelForSequenceClassification", "MmBertForSequenceClassification"),
        ("AutoModelForTokenClassification", "MmBertForTokenClassification"),
    ):
        getattr(modeling_auto, auto).register(MmBertConfig, getattr(modeling_mmbert, model), exist_ok=True)


class _Watch(MetaPathFinder):
    """Leaves the finding of modules to others and learns when a watched one has finished."""

    def __init__(self) -> None:
        self._searching: set[str] = set()
        self.running: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        ours = fullname.startswith(f"{__package__}.") and fullname != __name__
        if fullname in self._searching or not (ours or fullname in _WATCHED):
            return None
        self._searching.add(fullname)  # the search below comes here again
        try:
            spec = find_spec(fullname)
        finally:
            self._searching.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Watched(spec.loader, self)
        return spec


class _Watched(Loader):
    """Runs a module with its own loader, then registers if no other watched module is running."""

    def __init__(self, loader: Loader, watch: _Watch) -> None:
        self._loader, self._watch = loader, watch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader  # as if nobody had watched
        self._watch.running.add(module.__name__)
        try:
            self._loader.exec_module(module)
        finally:
            self._watch.running.discard(module.__name__)
        if not self._watch.running:
            _register_what_is_loaded()

"""The task catalogue: what the paper and others evaluate encoders on, where it is, and what was published about it."""

from ....common.lazy import lazy_exports

_HOMES = {
    "BenchmarkTask": "task",
    "Part": "task",
    "TaskRows": "rows",
    "load_tasks": "catalogue",
    "published_scores": "published",
    "read_task": "rows",
    "task_named": "catalogue",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

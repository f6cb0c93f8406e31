"""`mmbert bench`: tokens per second, memory and fraction of the roofline, against other models."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Builder": "models",
    "Case": "measurement",
    "Entry": "models",
    "Peak": "memory",
    "Plan": "measurement",
    "Report": "report",
    "Row": "report",
    "Timing": "timing",
    "clock_for": "timing",
    "conditions": "report",
    "configuration": "models",
    "encoding_peak": "memory",
    "fits": "measurement",
    "interleave": "timing",
    "longest_input": "models",
    "make_batch": "settings",
    "markdown_table": "report",
    "measure": "measurement",
    "measure_peak": "memory",
    "peak_in_child": "memory",
    "print_peak": "memory",
    "ratio": "report",
    "with_threads": "timing",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

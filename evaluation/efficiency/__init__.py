"""`mmbert bench`: tokens per second, memory and fraction of the roofline, beside the peers."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Builder": "contestants",
    "Case": "measurement",
    "Entry": "contestants",
    "Peak": "memory",
    "Plan": "measurement",
    "Report": "report",
    "Row": "report",
    "Runner": "targets",
    "Target": "targets",
    "Timing": "timing",
    "clock_for": "timing",
    "conditions": "report",
    "configuration": "contestants",
    "encoding_peak": "memory",
    "fits": "measurement",
    "interleave": "timing",
    "longest_input": "contestants",
    "make_batch": "settings",
    "markdown_table": "report",
    "measure": "measurement",
    "measure_peak": "memory",
    "peak_in_child": "memory",
    "print_peak": "memory",
    "ratio": "report",
    "targets_table": "targets",
    "with_threads": "timing",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

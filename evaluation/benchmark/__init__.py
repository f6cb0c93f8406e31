"""`mmbert evaluate`: `catalogue/` of tasks, `sweep` over settings and seeds, `runner`, records and report."""

from ...common.lazy import lazy_exports

_HOMES = {
    "ChangedRun": "records",
    "Evaluation": "runner",
    "Job": "run_task",
    "Outcome": "runner",
    "Run": "sweep",
    "Setting": "sweep",
    "Workers": "workers",
    "build_report": "report",
    "choose": "sweep",
    "evaluate": "runner",
    "final_runs": "sweep",
    "group_table": "report_tables",
    "identity_of": "records",
    "language_table": "report_tables",
    "markdown_report": "report_tables",
    "model_index": "report",
    "read_record": "records",
    "record_path": "records",
    "settings_of": "sweep",
    "sweep_runs": "sweep",
    "task_table": "report_tables",
    "write_record": "records",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

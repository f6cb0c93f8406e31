"""Runs as one HTML page: `read` makes plain dicts of their records, `write` puts them into `page.html`."""

from ...common.lazy import lazy_exports

_HOMES = {"read_run": "read", "write_report": "write"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

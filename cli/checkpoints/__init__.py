"""Verbs on checkpoints: merge, trim, export, publish, examine, measure."""

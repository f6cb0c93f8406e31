"""Verbs on text: corpora, languages, vectors, search."""

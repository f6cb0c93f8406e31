"""Embedders evaluated: retrieval, bitext, similarity, neighbours; by language."""

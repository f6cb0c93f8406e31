"""Verbs that train, fine-tune, evaluate and predict."""

"""Scores: `classification` (labels, tags, spans), `question_answering`, `ranking`."""

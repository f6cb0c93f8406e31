"""Masked-LM training: `run` is a recipe from end to end, `trainer` the Trainer, the others its parts."""

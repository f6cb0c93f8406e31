"""The ground floor: what every other folder may use and what knows none of them.

`lazy` resolves public names when they are first used, `moved` keeps old names working for one version, `files` writes
files that appear whole or not at all, `checkpoints/` reads and writes Hugging Face checkpoints without pickle.
"""

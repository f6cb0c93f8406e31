"""From texts to vectors.

`load` gives an embedder, `packed` encodes without padding, `to_file` more than memory holds.
"""
